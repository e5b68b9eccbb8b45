"""What goes in and out of the conversation endpoints."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from ninja import Field, Schema
from pydantic import AfterValidator, ConfigDict, JsonValue, ValidationInfo, field_validator, with_config
from typing_extensions import TypedDict

from conversations.content import Content, ImagePart, TextPart
from conversations.models import TITLE_LENGTH, Feedback, Message, MessageAttempt, Outcome, Rating, Role, Status
from conversations.text import Text, storable_json
from conversations.tools import AnswerFormat, ToolCallOut, ToolChoice, Tools, names

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


class UsageOut(Schema):
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    estimated: bool = Field(description="Whether the provider reported none, so that these are this server's guess.")

    @staticmethod
    def resolve_estimated(message: Message) -> bool:
        return message.usage_estimated


class ConversationOut(Schema):
    id: UUID
    title: str
    provider: str
    model: str
    system_prompt: str
    metadata: dict[str, Any]
    message_count: int
    token_count: int
    failure_count: int
    cost_usd: float | None = Field(description="US dollars, of the answers whose price is known; null when none is.")
    created_at: datetime
    last_activity_at: datetime


STATUSES = (
    "`completed`; of an answer also `streaming`: it is under way; `failed`: the provider or this server failed, see"
    " `error_code`; `cancelled`: its caller left, or cancelled it; `interrupted`: the server that ran it stopped. What"
    " there is of the text and usage of an answer that did not complete is kept."
)


class MessageOut(Schema):
    id: UUID
    conversation_id: UUID
    role: Role
    content: str = Field(description="The text; that of the text parts, if there are parts.")
    parts: list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = Field(
        description="The whole content of a user's message with images; null for one that is text alone."
    )
    reasoning: str | None = Field(description="What the model said to itself, of a turn that asked for its reasoning.")
    tool_calls: list[ToolCallOut] | None = Field(
        description="What the model wants called. Send the results as `tool_results` of the next turn."
    )
    tool_call_id: str | None = Field(description="Of a tool's result: the call that it answers.")
    status: Status = Field(description=STATUSES)
    finish_reason: str | None = Field(
        description="Why the model stopped, in the provider's word: stop, length, tool_calls, content_filter ..."
    )
    error_code: str | None = Field(description="Why a turn failed: the code of its problem document.")
    provider: str | None
    model: str | None
    usage: UsageOut | None
    cost_usd: float | None = Field(description="US dollars; null when the price is unknown.")
    ttft_ms: int | None = Field(description="Time to first token, milliseconds from the request's start.")
    latency_ms: int | None = Field(description="Milliseconds from the request's start to the answer's end.")
    request_id: str
    trace_id: str
    sentry_event_id: str | None
    created_at: datetime

    @staticmethod
    def resolve_reasoning(message: Message) -> str | None:
        return message.reasoning or None

    @staticmethod
    def resolve_tool_call_id(message: Message) -> str | None:
        return message.tool_call_id or None

    @staticmethod
    def resolve_finish_reason(message: Message) -> str | None:
        return message.finish_reason or None

    @staticmethod
    def resolve_error_code(message: Message) -> str | None:
        return message.error_code or None

    @staticmethod
    def resolve_provider(message: Message) -> str | None:
        return message.provider or None

    @staticmethod
    def resolve_model(message: Message) -> str | None:
        return message.model or None

    @staticmethod
    def resolve_sentry_event_id(message: Message) -> str | None:
        return message.sentry_event_id or None

    @staticmethod
    def resolve_usage(message: Message) -> Message | None:
        return message if message.total_tokens is not None else None


class AttemptOut(Schema):
    """One request to a provider for an answer."""

    number: int = Field(description="From 1, in the order of the attempts.")
    provider: str
    model: str
    outcome: Outcome = Field(description="`skipped`: not even asked, since the provider has failed too often of late.")
    error_code: str | None = Field(description="The code of the problem document that it alone would have led to.")
    provider_status: int | None = Field(description="The HTTP status that the provider answered, if it was no success.")
    ttft_ms: int | None = Field(description="Time to first token, milliseconds from the attempt's start.")
    latency_ms: int = Field(description="Milliseconds from the attempt's start to its end.")

    @staticmethod
    def resolve_error_code(attempt: MessageAttempt) -> str | None:
        return attempt.error_code or None


class AttemptPage(Schema):
    items: list[AttemptOut]
    next_cursor: str | None


class FeedbackOut(Schema):
    conversation_id: UUID
    message_id: UUID
    rating: Rating
    comment: str | None
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_conversation_id(feedback: Feedback) -> UUID:
        return feedback.message.conversation_id

    @staticmethod
    def resolve_comment(feedback: Feedback) -> str | None:
        return feedback.comment or None


class ConversationPage(Schema):
    items: list[ConversationOut]
    next_cursor: str | None


class MessagePage(Schema):
    items: list[MessageOut]
    next_cursor: str | None
