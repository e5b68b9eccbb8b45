"""What comes out of the conversation endpoints."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Field, Schema
from pydantic import BeforeValidator

from conversations.content import ImagePart, TextPart
from conversations.models import Conversation, Feedback, Message, Outcome, Rating, Role, Status
from conversations.tools import ToolCallOut

Known = Annotated[str | None, BeforeValidator(lambda value: value or None)]
"""A text that is null, not empty, when there is none."""


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
    parameters: dict[str, Any] = Field(description="Of the turns that name none: `temperature`, `max_tokens`.")
    metadata: dict[str, Any]
    tags: list[str]
    archived: bool
    pinned: bool
    assistant_id: UUID | None = Field(description="The assistant that it started from, while there is one.")
    forked_from: UUID | None = Field(description="The conversation that it is a fork of, while there is one.")
    forked_at: UUID | None = Field(description="That one's message up to which, inclusive, this one began as a copy.")
    message_count: int = Field(
        description="Without answers that were made again, which the tokens, failures and costs are with."
    )
    token_count: int
    failure_count: int
    cost_usd: float | None = Field(description="US dollars, of the answers whose price is known; null when none is.")
    created_at: datetime
    last_activity_at: datetime
    deleted_at: datetime | None = Field(description="When you have deleted it; it can be restored until it is purged.")

    @staticmethod
    def resolve_tags(conversation: Conversation) -> list[str]:
        """In the order given. They have to be loaded, see lookup.with_tags."""
        return [tag.name for tag in sorted(conversation.tag_rows.all(), key=lambda tag: tag.pk)]

    @staticmethod
    def resolve_forked_from(conversation: Conversation) -> UUID | None:
        return conversation.forked_from_id


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
    reasoning: Known = Field(description="What the model said to itself, of a turn that asked for its reasoning.")
    tool_calls: list[ToolCallOut] | None = Field(
        description="What the model wants called. Send the results as `tool_results` of the next turn."
    )
    tool_call_id: Known = Field(description="Of a tool's result: the call that it answers.")
    status: Status = Field(description=STATUSES)
    finish_reason: Known = Field(
        description="Why the model stopped, in OpenAI's words: stop, length, tool_calls, content_filter ..."
    )
    error_code: Known = Field(description="Why a turn failed: the code of its problem document.")
    provider: Known
    model: Known
    usage: UsageOut | None
    cost_usd: float | None = Field(description="US dollars; null when the price is unknown.")
    ttft_ms: int | None = Field(description="Time to first token, milliseconds from the request's start.")
    latency_ms: int | None = Field(description="Milliseconds from the request's start to the answer's end.")
    request_id: str
    trace_id: str
    sentry_event_id: Known
    superseded_by: UUID | None = Field(
        description="The answer that was made in its place. It is no part of the history any more."
    )
    copied_from: UUID | None = Field(
        description="In a fork: the message that it is a copy of, which alone has usage, cost, timings and ids."
    )
    created_at: datetime

    @staticmethod
    def resolve_usage(message: Message) -> Message | None:
        return message if message.total_tokens is not None else None


class AttemptOut(Schema):
    """One request to a provider for an answer."""

    number: int = Field(description="From 1, in the order of the attempts.")
    provider: str
    model: str
    outcome: Outcome = Field(description="`skipped`: not even asked, since the provider has failed too often of late.")
    error_code: Known = Field(description="The code of the problem document that it alone would have led to.")
    provider_status: int | None = Field(description="The HTTP status that the provider answered, if it was no success.")
    ttft_ms: int | None = Field(description="Time to first token, milliseconds from the attempt's start.")
    latency_ms: int = Field(description="Milliseconds from the attempt's start to its end.")


class AttemptPage(Schema):
    items: list[AttemptOut]
    next_cursor: str | None


class FeedbackOut(Schema):
    conversation_id: UUID
    message_id: UUID
    rating: Rating
    comment: Known
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_conversation_id(feedback: Feedback) -> UUID:
        return feedback.message.conversation_id


class ConversationPage(Schema):
    items: list[ConversationOut]
    next_cursor: str | None


class MessagePage(Schema):
    items: list[MessageOut]
    next_cursor: str | None
