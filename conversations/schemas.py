"""What goes into the conversation endpoints."""

from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from ninja import Field, Schema
from pydantic import AfterValidator, ConfigDict, JsonValue, ValidationInfo, field_validator, with_config
from typing_extensions import TypedDict

from conversations.content import Content
from conversations.models import TITLE_LENGTH, Rating
from conversations.text import Text, storable_json
from conversations.tools import AnswerFormat, ToolChoice, Tools, names

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


class Strict(Schema):
    """A request body: a misspelt field is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class ConversationIn(Strict):
    title: Title = ""
    provider: ProviderName | None = None
    model: ModelName | None = None
    system_prompt: SystemPrompt = ""
    metadata: Metadata = {}


class ConversationPatch(Strict):
    """Only the fields that are sent change."""

    title: Title | None = None
    provider: ProviderName | None = None
    model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    metadata: Metadata | None = None


@with_config(extra="forbid")
class ToolResultIn(TypedDict):
    tool_call_id: Annotated[Text, Field(min_length=1, max_length=128)]
    content: Annotated[Text, Field(max_length=settings.CHAT_MAX_MESSAGE_CHARS, description="What the tool said.")]


class TurnIn(Strict):
    """The parameters of a turn."""

    tool_results: list[ToolResultIn] = Field(
        [],
        max_length=128,
        fail_fast=True,
        description=(
            "The results of the calls in the conversation's last message: of every one, in any order. The message"
            " itself may then be absent. Without results, the next message drops the calls."
        ),
    )
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, strict=True, description="Whether several may be called at once.")
    response_format: AnswerFormat | None = None
    reasoning: bool = Field(False, strict=True, description="Store the model's reasoning with the answer, and send it.")
    stream: bool = Field(False, description="Answer with server-sent events instead of one JSON document.", strict=True)
    model: ModelName | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, strict=True)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, strict=True, description="Longest answer, in tokens.")

    @field_validator("tool_results")
    @classmethod
    def one_of_each_call(cls, value: list[ToolResultIn]) -> list[ToolResultIn]:
        if len({result["tool_call_id"] for result in value}) < len(value):
            raise ValueError("must have one result of each tool_call_id")
        return value

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

    def extra(self) -> dict[str, Any]:
        """What goes to the provider as it is."""
        asked = {name: getattr(self, name) for name in PASSED_ON}
        return {name: value for name, value in asked.items() if value is not None}


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


class ProviderChatIn(TurnIn):
    message: Content | None = Field(None, validate_default=True, examples=CONTENTS)
    conversation_id: UUID | None = Field(
        None, validate_default=True, description="Goes on with this conversation; a new one by default."
    )
    system_prompt: SystemPrompt = Field("", description="Of a new conversation.")
    metadata: Metadata = Field({}, description="Of a new conversation.")

    needed = field_validator("message")(needed)

    @field_validator("conversation_id")
    @classmethod
    def of_tool_results(cls, value: UUID | None, info: ValidationInfo) -> UUID | None:
        if value is None and info.data.get("tool_results"):
            raise ValueError("is needed with tool_results")
        return value

    @field_validator("system_prompt", "metadata")
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
