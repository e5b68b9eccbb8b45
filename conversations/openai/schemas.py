"""The body of POST /v1/chat/completions.

Fields that are not named here go to the provider as they are; those of messages and their parts that are not are left
out, since clients send answers back with all that came with them, which many providers refuse.
"""

from typing import Annotated, Any, Literal, NotRequired

from django.conf import settings
from ninja import Field
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    JsonValue,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict

from conversations.content import MAX_PARTS, Detail, images_in, sendable, text_or_parts, within_limits
from conversations.text import Text, storable, storable_json
from conversations.tools import MAX_TOOLS, Name

MAX_MESSAGES = 2_048
MAX_EXTRA = 100
"""Further parameters of a request."""


class SaidText(TypedDict):
    type: Literal["text"]
    text: Text


class SaidImageUrl(TypedDict):
    url: Annotated[str, Field(description="`https://...` or `data:image/TYPE;base64,...` (png, jpeg, gif or webp).")]
    detail: NotRequired[Detail | None]


def without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if item is not None}


class SaidImage(TypedDict):
    type: Literal["image_url"]
    image_url: Annotated[SaidImageUrl, AfterValidator(sendable), AfterValidator(without_nulls)]


class SaidRefusal(TypedDict):
    type: Literal["refusal"]
    refusal: Text


def as_text(part: SaidRefusal) -> SaidText:
    """Other providers than OpenAI know no such part."""
    return {"type": "text", "text": part["refusal"]}


PARTS: dict[str, TypeAdapter[Any]] = {
    "text": TypeAdapter(SaidText),
    "image_url": TypeAdapter(SaidImage),
    "refusal": TypeAdapter(Annotated[SaidRefusal, AfterValidator(as_text)]),
}


def of_kind(adapters: dict[str, TypeAdapter[Any]], key: str, value: Any) -> Any:
    """By what its `key` says it is. Pydantic's own choice would name each member of the union in an error's field."""
    kind = value.get(key) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in adapters:
        raise ValueError(f"must be an object whose {key} is {' or '.join(adapters)}")
    return adapters[kind].validate_python(value)


def part(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return of_kind(PARTS, "type", value)


Plain = Annotated[str, Field(max_length=settings.CHAT_MAX_MESSAGE_CHARS), AfterValidator(storable)]
Parts = Annotated[
    list[Annotated[SaidText | SaidImage | SaidRefusal, WrapValidator(part)]],
    Field(min_length=1, max_length=MAX_PARTS, fail_fast=True),
    AfterValidator(within_limits),
]
PLAIN: TypeAdapter[Any] = TypeAdapter(Plain)
PART_LIST: TypeAdapter[Any] = TypeAdapter(Parts)


def said(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return text_or_parts(value, PLAIN, PART_LIST)


def text_alone(content: Any) -> Any:
    if images_in(content):
        raise ValueError("may hold text parts only; images are for the user's messages")
    return content


Said = Annotated[Plain | Parts, WrapValidator(said)]
Spoken = Annotated[Said, AfterValidator(text_alone)]
CallId = Annotated[Text, Field(min_length=1, max_length=128)]
Called = Annotated[Text, Field(min_length=1, max_length=256)]


class MadeFunctionCall(TypedDict):
    name: Called
    arguments: Text


class MadeToolCall(TypedDict):
    id: CallId
    type: Literal["function"]
    function: MadeFunctionCall
    extra_content: NotRequired[
        Annotated[
            dict[str, JsonValue],
            AfterValidator(storable_json),
            Field(description="As it came with the call: Gemini and DeepSeek want it back."),
        ]
    ]


class SystemMessageIn(TypedDict):
    role: Literal["system", "developer"]
    content: Spoken
    name: NotRequired[Called | None]


class UserMessageIn(TypedDict):
    role: Literal["user"]
    content: Said
    name: NotRequired[Called | None]


class AssistantMessageIn(TypedDict):
    role: Literal["assistant"]
    content: NotRequired[Spoken | None]
    refusal: NotRequired[
        Annotated[Plain | None, Field(description="Of a model that would not answer: goes on as the content.")]
    ]
    tool_calls: NotRequired[Annotated[list[MadeToolCall], Field(max_length=MAX_TOOLS, fail_fast=True)] | None]
    name: NotRequired[Called | None]


class ToolMessageIn(TypedDict):
    role: Literal["tool"]
    content: Spoken
    tool_call_id: CallId


MESSAGES: dict[str, TypeAdapter[Any]] = {
    "system": TypeAdapter(SystemMessageIn),
    "developer": TypeAdapter(SystemMessageIn),
    "user": TypeAdapter(UserMessageIn),
    "assistant": TypeAdapter(AssistantMessageIn),
    "tool": TypeAdapter(ToolMessageIn),
}


def message(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return of_kind(MESSAGES, "role", value)


MessageIn = Annotated[SystemMessageIn | UserMessageIn | AssistantMessageIn | ToolMessageIn, WrapValidator(message)]


@with_config(extra="allow")
class OfferedFunction(TypedDict):
    name: Name


@with_config(extra="allow")
class OfferedTool(TypedDict):
    """What else is in it goes to the provider as it is."""

    type: Literal["function"]
    function: OfferedFunction


NOT_RELAYED: dict[str, tuple[list[JsonValue], str]] = {
    "n": ([1], "must be 1: one answer is relayed"),
    "logprobs": ([False], "must be false: log probabilities are not relayed"),
    "top_logprobs": ([0], "must be absent: log probabilities are not relayed"),
    "modalities": ([["text"]], 'must be ["text"]: nothing else is relayed'),
    "audio": ([], "must be absent: audio is not relayed"),
    "functions": ([[]], "must be absent; say tools instead"),
    "function_call": (["none", "auto"], "must be absent; say tool_choice instead"),
}
"""Parameters that would change the answer into one that this server does not relay, with the values that do not."""


def only(name: str) -> dict[str, JsonValue]:
    return {"enum": [*NOT_RELAYED[name][0], None]}


class StreamOptions(TypedDict):
    include_usage: NotRequired[Annotated[bool | None, Field(strict=True, description="A last chunk with the usage.")]]


class ChatCompletionIn(BaseModel):
    """OpenAI's chat completion request. Parameters that are not listed go to the provider as they are."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[JsonValue, AfterValidator(storable_json)]]

    model: Text = Field(
        min_length=1,
        max_length=200,
        description="An `id` of GET /v1/models, a provider's name, or any model of a provider.",
        examples=["local"],
    )
    messages: list[MessageIn] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        fail_fast=True,
        examples=[[{"role": "user", "content": "What is the capital of France?"}]],
    )
    stream: bool | None = Field(None, strict=True)
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, strict=True)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, strict=True, description="Longest answer, in tokens.")
    max_completion_tokens: int | None = Field(
        None, ge=1, le=1_000_000, strict=True, description="The same by its newer name, which wins."
    )
    tools: (
        Annotated[list[OfferedTool], Field(max_length=MAX_TOOLS, fail_fast=True), AfterValidator(storable_json)] | None
    ) = None
    store: bool | None = Field(
        None, strict=True, description="Store the messages and the answer as a new conversation, and name it."
    )
    metadata: Annotated[dict[str, JsonValue], AfterValidator(storable_json)] | None = Field(
        None, description="Of the conversation that `store` makes; never sent to the provider."
    )
    include_reasoning: bool | None = Field(
        None, strict=True, description="Send the model's reasoning, as `reasoning_content`."
    )

    n: JsonValue = Field(None, description="Only 1.", json_schema_extra=only("n"))
    logprobs: JsonValue = Field(None, description="Only false.", json_schema_extra=only("logprobs"))
    top_logprobs: JsonValue = Field(None, description="None.", json_schema_extra=only("top_logprobs"))
    modalities: JsonValue = Field(None, description='Only ["text"].', json_schema_extra=only("modalities"))
    audio: JsonValue = Field(None, description="None.", json_schema_extra=only("audio"))
    functions: JsonValue = Field(None, description="None: say `tools`.", json_schema_extra=only("functions"))
    function_call: JsonValue = Field(
        None, description="None: say `tool_choice`.", json_schema_extra=only("function_call")
    )

    @field_validator(*NOT_RELAYED)
    @classmethod
    def none_whose_answer_is_not_relayed(cls, value: Any, info: ValidationInfo) -> Any:
        allowed, reason = NOT_RELAYED[info.field_name or ""]
        if value is not None and value not in allowed:
            raise ValueError(reason)
        return value

    @model_validator(mode="after")
    def bounded(self) -> "ChatCompletionIn":
        extra = self.model_extra or {}
        if len(extra) > MAX_EXTRA:
            raise ValueError(f"may have at most {MAX_EXTRA} further parameters")
        for name in extra:
            storable(name)
        return self

    @property
    def wants_usage(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))

    def extra(self) -> dict[str, Any]:
        """What goes to the provider as it is: all that this server does not decide itself."""
        asked = {"tools": self.tools or None, **(self.model_extra or {})}
        return {name: value for name, value in asked.items() if value is not None}
