"""What goes in and out of the conversation endpoints."""

import math
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from ninja import Field, Schema
from pydantic import AfterValidator, ConfigDict, JsonValue, ValidationInfo, field_validator

from conversations.models import TITLE_LENGTH, Feedback, Message, Rating


def storable(text: str) -> str:
    if "\x00" in text:  # PostgreSQL cannot store it
        raise ValueError("must not contain NUL characters")
    return text


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def storable_json(value: JsonValue) -> JsonValue:
    """Refuses what JSON allows and PostgreSQL does not: NUL characters, and numbers too large for a double."""
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not contain numbers beyond 1.8e308")
    elif isinstance(value, dict):
        for key, item in value.items():
            storable(key)
            storable_json(item)
    elif isinstance(value, list):
        for item in value:
            storable_json(item)
    return value


Text = Annotated[str, AfterValidator(storable)]
Content = Annotated[
    str,
    Field(
        min_length=1,
        max_length=settings.CHAT_MAX_MESSAGE_CHARS,
        description="The user's message.",
        examples=["What is the capital of France?"],
    ),
    AfterValidator(storable),
    AfterValidator(not_blank),
]
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


class TurnIn(Strict):
    """The parameters of a turn."""

    stream: bool = Field(False, description="Answer with server-sent events instead of one JSON document.", strict=True)
    model: ModelName | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, strict=True)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, strict=True, description="Longest answer, in tokens.")


class MessageIn(TurnIn):
    content: Content
    provider: ProviderName | None = None


class ProviderChatIn(TurnIn):
    message: Content
    conversation_id: UUID | None = Field(None, description="Goes on with this conversation; a new one by default.")
    system_prompt: SystemPrompt = Field("", description="Of a new conversation.")
    metadata: Metadata = Field({}, description="Of a new conversation.")

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
    created_at: datetime
    last_activity_at: datetime


class MessageOut(Schema):
    id: UUID
    conversation_id: UUID
    role: str
    content: str
    status: str = Field(description="completed, streaming, failed, cancelled or interrupted.")
    finish_reason: str | None
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
