"""Tools and structured output, as in OpenAI's chat completions: what a turn may say of them.

TypedDicts, since they go to the provider as they came.
"""

from typing import Annotated, Any, Literal, NotRequired

from ninja import Field
from pydantic import (
    AfterValidator,
    JsonValue,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    with_config,
)
from typing_extensions import TypedDict

from conversations.text import Text, storable_json

MAX_TOOLS = 128
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["get_weather"])]
JsonSchema = Annotated[
    dict[str, JsonValue],
    AfterValidator(storable_json),
    Field(
        description="A JSON Schema.",
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}],
    ),
]
Strictly = Annotated[bool | None, Field(strict=True, description="Whether the model has to keep to the schema.")]


@with_config(extra="forbid")
class Function(TypedDict):
    name: Name
    description: NotRequired[Annotated[Text, Field(description="When and how to call it.")]]
    parameters: NotRequired[JsonSchema]
    strict: NotRequired[Strictly]


@with_config(extra="forbid")
class Tool(TypedDict):
    type: Literal["function"]
    function: Function


def distinct(tools: list[Tool]) -> list[Tool]:
    if len(set(names(tools))) < len(tools):
        raise ValueError("must have distinct names")
    return tools


def names(tools: list[Tool]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


Tools = Annotated[
    list[Tool],
    Field(
        min_length=1,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description=(
            "Functions that the model may call. A call is the caller's to make: see `tool_results`. They are of this"
            " turn alone: send them again with every turn, that with the results included."
        ),
    ),
    AfterValidator(distinct),
]


@with_config(extra="forbid")
class FunctionName(TypedDict):
    name: Name


@with_config(extra="forbid")
class NamedTool(TypedDict):
    type: Literal["function"]
    function: FunctionName


Mode = Literal["none", "auto", "required"]
MODE: TypeAdapter[Any] = TypeAdapter(Mode)
NAMED: TypeAdapter[Any] = TypeAdapter(NamedTool)


def choice(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """By what it is. Pydantic's own choice would name each member of the union in an error's field."""
    return NAMED.validate_python(value) if isinstance(value, dict) else MODE.validate_python(value)


ToolChoice = Annotated[
    Mode | NamedTool,
    WrapValidator(choice),
    Field(description="Whether the model may or must call a tool, or which; the provider's default is `auto`."),
]


@with_config(extra="forbid")
class AnswerSchema(TypedDict):
    name: Name
    schema: JsonSchema
    description: NotRequired[Text]
    strict: NotRequired[Strictly]


@with_config(extra="forbid")
class ResponseFormat(TypedDict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NotRequired[Annotated[AnswerSchema, Field(description="With the type json_schema, and only then.")]]


def fitting(format: ResponseFormat) -> ResponseFormat:
    if (format["type"] == "json_schema") is not ("json_schema" in format):
        raise ValueError("must have a json_schema with the type json_schema, and only then")
    return format


AnswerFormat = Annotated[
    ResponseFormat, AfterValidator(fitting), Field(description="The form of the answer; text by default.")
]


class CalledFunction(TypedDict):
    name: str
    arguments: Annotated[str, Field(description="JSON as the model wrote it, which need not fit the schema.")]


class ToolCallOut(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction
