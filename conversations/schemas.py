"""What goes into the conversation endpoints."""

from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
    with_config,
)
from typing_extensions import TypedDict

from conversations.content import Content
from conversations.models import TITLE_LENGTH, Rating
from conversations.text import Text, storable, storable_json
from conversations.tools import AnswerFormat, ToolChoice, Tools, names

MAX_TAGS = 32

ProviderName = Annotated[
    Text,
    Field(max_length=32, description="A configured provider; the conversation's by default.", examples=["local"]),
]
ModelName = Annotated[
    Text,
    Field(min_length=1, max_length=200, description="A model of the provider; the conversation's by default."),
]
Title = Annotated[Text, Field(max_length=TITLE_LENGTH, description="Made from the first message when empty.")]
SystemPrompt = Annotated[
    Text,
    Field(
        max_length=settings.CHAT_MAX_MESSAGE_CHARS,
        description="Sent first with every turn; CHAT_SYSTEM_PROMPT when empty.",
    ),
]
Metadata = Annotated[
    dict[str, JsonValue],
    Field(description="Anything of yours, stored as it is.", examples=[{"ticket": "A-17"}]),
    AfterValidator(storable_json),
]

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False, strict=True)]
MaxTokens = Annotated[int, Field(ge=1, le=1_000_000, strict=True, description="Longest answer, in tokens.")]


@with_config(extra="forbid")
class ParametersIn(TypedDict, total=False):
    temperature: Temperature | None
    max_tokens: MaxTokens | None


def known(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


Parameters = Annotated[
    ParametersIn,
    Field(description="Of the turns that name none of their own.", examples=[{"temperature": 0.2, "max_tokens": 500}]),
    AfterValidator(known),
]
TagName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(storable)
]
Tags = Annotated[
    list[TagName],
    Field(max_length=MAX_TAGS, fail_fast=True, examples=[["work", "billing"]]),
    AfterValidator(lambda names: list(dict.fromkeys(names))),
]
AssistantId = Annotated[
    UUID, Field(description="Starts from this assistant: a field of it holds where the conversation names none.")
]


class Strict(BaseModel):
    """A request body: a misspelt field is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class ConversationIn(Strict):
    title: Title = ""
    provider: ProviderName | None = None
    model: ModelName | None = None
    system_prompt: SystemPrompt = ""
    parameters: Parameters = {}
    metadata: Metadata = {}
    tags: Tags = []
    assistant_id: AssistantId | None = None


class ConversationPatch(Strict):
    """Only the fields that are sent change."""

    title: Title | None = None
    provider: ProviderName | None = None
    model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    parameters: Parameters | None = Field(None, description="In place of all that were there.")
    metadata: Metadata | None = None
    tags: Tags | None = Field(None, description="In place of all that were there.")
    archived: bool | None = Field(None, strict=True, description="Whether lists leave it out.")
    pinned: bool | None = Field(None, strict=True)


@with_config(extra="forbid")
class ToolResultIn(TypedDict):
    tool_call_id: Annotated[Text, Field(min_length=1, max_length=128)]
    content: Annotated[Text, Field(max_length=settings.CHAT_MAX_MESSAGE_CHARS, description="What the tool said.")]


class OptionsIn(Strict):
    """How a turn is to be answered."""

    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, strict=True, description="Whether several may be called at once.")
    response_format: AnswerFormat | None = None
    reasoning: bool = Field(False, strict=True, description="Store the model's reasoning with the answer, and send it.")
    stream: bool = Field(False, description="Answer with server-sent events instead of one JSON document.", strict=True)
    detached: bool = Field(
        False,
        strict=True,
        description=(
            "Of a stream: the turn runs on when its reader leaves, and GET .../messages/{message_id}/events goes on"
            " where the reader was."
        ),
    )
    model: ModelName | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None

    @field_validator("tool_choice", "parallel_tool_calls")
    @classmethod
    def of_tools(cls, value: Any, info: ValidationInfo) -> Any:
        tools = info.data.get("tools", ...)  # not there when they are invalid
        if value is None or tools is ...:
            return value
        if not tools:
            raise ValueError("is for a turn with tools")
        if isinstance(value, dict) and value["function"]["name"] not in names(tools):
            raise ValueError("must name one of the tools")
        return value

    @field_validator("detached")
    @classmethod
    def of_a_stream(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("stream", True):
            raise ValueError("is for a turn with stream")
        return value

    def extra(self) -> dict[str, Any]:
        """What goes to the provider as it is."""
        asked = {name: getattr(self, name) for name in PASSED_ON}
        return known(asked)


class TurnIn(OptionsIn):
    """The parameters of a turn that brings something new."""

    tool_results: list[ToolResultIn] = Field(
        [],
        max_length=128,
        fail_fast=True,
        description=(
            "The results of the calls in the conversation's last message: of every one, in any order. The message"
            " itself may then be absent. Without results, the next message drops the calls."
        ),
    )

    @field_validator("tool_results")
    @classmethod
    def one_of_each_call(cls, value: list[ToolResultIn]) -> list[ToolResultIn]:
        if len({result["tool_call_id"] for result in value}) < len(value):
            raise ValueError("must have one result of each tool_call_id")
        return value


CONTENTS = [
    "What is the capital of France?",
    [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
    ],
]
PASSED_ON = ("tools", "tool_choice", "parallel_tool_calls", "response_format")


def needed(value: Any, info: ValidationInfo) -> Any:
    """A message may only be absent where there are tool results."""
    if value is None and not info.data.get("tool_results", ...):
        raise ValueError("is needed unless there are tool_results")
    return value


class MessageIn(TurnIn):
    content: Content | None = Field(None, validate_default=True, examples=CONTENTS)
    provider: ProviderName | None = None

    needed = field_validator("content")(needed)


class RegenerateIn(OptionsIn):
    provider: ProviderName | None = None


class EditIn(OptionsIn):
    content: Content = Field(examples=CONTENTS)
    provider: ProviderName | None = None


class ForkIn(Strict):
    message_id: UUID | None = Field(None, description="The last message that goes along; the newest by default.")


class ProviderChatIn(TurnIn):
    message: Content | None = Field(None, validate_default=True, examples=CONTENTS)
    conversation_id: UUID | None = Field(
        None, validate_default=True, description="Goes on with this conversation; a new one by default."
    )
    system_prompt: SystemPrompt = Field("", description="Of a new conversation.")
    metadata: Metadata = Field({}, description="Of a new conversation.")
    assistant_id: AssistantId | None = Field(None, description="Of a new conversation: the assistant it starts from.")

    needed = field_validator("message")(needed)

    @field_validator("conversation_id")
    @classmethod
    def of_tool_results(cls, value: UUID | None, info: ValidationInfo) -> UUID | None:
        if value is None and info.data.get("tool_results"):
            raise ValueError("is needed with tool_results")
        return value

    @field_validator("system_prompt", "metadata", "assistant_id")
    @classmethod
    def of_a_new_conversation(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("conversation_id"):
            raise ValueError("is for a new conversation; change that of an old one with PATCH /api/conversations/{id}")
        return value


class ChatIn(ProviderChatIn):
    provider: ProviderName | None = None


class FeedbackIn(Strict):
    rating: Rating
    comment: Annotated[Text, Field(max_length=2_000, description="In the user's own words.")] | None = None
