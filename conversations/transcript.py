"""A conversation as a person reads it: what is known of it, and a page of its messages, in words."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Prefetch
from django.utils import timezone
from django.utils.formats import date_format

from conversations.models import Conversation, Feedback, Message, MessageAttempt, Outcome, Role, Status
from conversations.pictures import MAX_INLINE, Picture, pictures

PAGE = 100
"""Messages on a page, so that it costs the same however long the conversation."""

SILENCE = {
    Status.COMPLETED: "The answer is empty.",
    Status.STREAMING: "No text yet.",
    Status.FAILED: "No text: it failed before its text began.",
    Status.CANCELLED: "No text: the client left, or cancelled it, before its text began.",
    Status.INTERRUPTED: "No text: the server stopped before its text began.",
}
"""Said in place of an answer's text that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message as the transcript shows it."""

    message: Message
    status: str
    measures: list[tuple[str, str]]
    ids: list[tuple[str, str]]
    silence: str
    superseded: bool
    """Whether another answer was made in its place."""
    pictures: list[Picture]
    attempts: list[MessageAttempt]
    """When one of them was no success."""
    event_url: str
    trace_url: str
    feedback: list[Feedback]


def facts(conversation: Conversation) -> list[tuple[str, str]]:
    """The conversation itself: label and value."""
    values = [
        ("Owner", str(conversation.owner)),
        ("Provider", conversation.provider),
        ("Model", conversation.model),
        ("Created", moment(conversation.created_at)),
        ("Last activity", moment(conversation.last_activity_at)),
        ("Messages", f"{conversation.message_count:,}"),
        ("Tokens", f"{conversation.token_count:,}"),
        ("Failures", f"{conversation.failure_count:,}"),
        ("Cost", dollars(conversation.cost_usd) or "No price is known"),
        ("Parameters", ", ".join(f"{name} {value}" for name, value in conversation.parameters.items())),
        ("Tags", ", ".join(tag.name for tag in conversation.tag_rows.order_by("pk"))),
        ("Assistant", str(conversation.assistant or "")),
        ("Archived", "Yes" if conversation.archived else ""),
        ("Pinned", "Yes" if conversation.pinned else ""),
        ("Deleted by its owner", moment(conversation.deleted_at) if conversation.deleted_at else ""),
    ]
    return [(label, value) for label, value in values if value]


def metadata(conversation: Conversation) -> str:
    """Indented JSON; empty when there is none."""
    return json.dumps(conversation.metadata, indent=2, ensure_ascii=False) if conversation.metadata else ""


def page(conversation: Conversation, number: str | None) -> dict[str, Any]:
    """One page of the messages, oldest first: page `number`, the newest by default. Pages count from the oldest,
    so that a page keeps its number and its messages while the conversation goes on.
    """
    feedback = Prefetch("feedback", Feedback.objects.select_related("user").order_by("pk"))
    attempts = Prefetch("attempts", MessageAttempt.objects.order_by("number"))
    messages = conversation.messages.order_by("pk").prefetch_related(feedback, attempts)
    # orphans: the newest page is never down to a message or two.
    paginator = Paginator(messages, PAGE, orphans=PAGE // 5)
    shown: Page[Message] = paginator.get_page(number or paginator.num_pages)
    return {
        "page": shown,
        "numbers": list(paginator.get_elided_page_range(shown.number)),
        "gap": Paginator.ELLIPSIS,
        "entries": entries(shown),
    }


def entries(messages: Iterable[Message]) -> list[Entry]:
    found: list[Entry] = []
    room = MAX_INLINE
    for message in messages:
        found.append(entry(message, room))
        room -= sum(len(picture.src) for picture in found[-1].pictures)
    return found


def entry(message: Message, room: int) -> Entry:
    answered = message.role == Role.ASSISTANT  # the record of a turn is on its answer
    return Entry(
        message=message,
        status=status_of(message),
        measures=measures(message) if answered else [],
        ids=ids(message) if answered else call_id(message),
        silence=silence(message),
        superseded=message.superseded_by is not None,
        pictures=pictures(message.parts, room),
        attempts=attempts_worth_telling(message),
        event_url=event_url(message.sentry_event_id),
        trace_url=trace_url(message.trace_id) if answered else "",
        feedback=list(message.feedback.all()),
    )


def silence(message: Message) -> str:
    """What is said in place of a text that is not there."""
    if message.content or message.parts or message.tool_calls:
        return ""
    return "The result is empty." if message.role == Role.TOOL else SILENCE[Status(message.status)]


def attempts_worth_telling(message: Message) -> list[MessageAttempt]:
    attempts = list(message.attempts.all())
    return attempts if any(attempt.outcome != Outcome.COMPLETED for attempt in attempts) else []


def status_of(message: Message) -> str:
    """The status in words. A turn whose process died stays `streaming` until some worker sweeps it."""
    if message.status == Status.STREAMING and message.lease_until and not message.live:
        return "Abandoned: the process that ran it died"
    return Status(message.status).label


def measures(message: Message) -> list[tuple[str, str]]:
    """What is known of an answer: label and value."""
    values = (
        ("Provider", message.provider),
        ("Model", message.model),
        ("Tokens", tokens(message)),
        ("Cost", dollars(message.cost_usd)),
        ("First token", milliseconds(message.ttft_ms)),
        ("Latency", milliseconds(message.latency_ms)),
        ("Finish reason", message.finish_reason),
    )
    return [(label, value) for label, value in values if value]


def ids(message: Message) -> list[tuple[str, str]]:
    """Under which names the log and Sentry know the turn."""
    values = (
        ("Copy of", str(message.copied_from or "")),
        ("Request", message.request_id),
        ("Trace", message.trace_id),
        ("Sentry event", message.sentry_event_id),
    )
    return [(label, value) for label, value in values if value]


def call_id(message: Message) -> list[tuple[str, str]]:
    """Of a tool's result: which call it answers; of a copy: what it is a copy of."""
    values = ("Call", message.tool_call_id), ("Copy of", str(message.copied_from or ""))
    return [(label, value) for label, value in values if value]


def tokens(message: Message) -> str:
    if message.total_tokens is None:
        return ""
    about = "about " if message.usage_estimated else ""
    return (
        f"{about}{message.total_tokens:,} ({message.prompt_tokens or 0:,} in, {message.completion_tokens or 0:,} out)"
    )


def dollars(amount: Decimal | None) -> str:
    """`$0.00012`: as many digits as the price has. SQLite adds up in floats, hence the rounding to the column's 8."""
    if amount is None:
        return ""
    return f"${round(amount, 8).normalize():f}"


def moment(value: datetime) -> str:
    return date_format(timezone.localtime(value), "Y-m-d H:i:s T")


def milliseconds(value: int | None) -> str:
    return "" if value is None else f"{value:,} ms"


def event_url(event_id: str) -> str:
    """The event's page in Sentry; empty when there is no event or SENTRY_EVENT_URL is not set."""
    # replace, not format: another brace in the template would be an error on every failed message.
    return settings.SENTRY_EVENT_URL.replace("{event_id}", event_id) if event_id else ""


def trace_url(trace_id: str) -> str:
    """The trace's page in Sentry; empty when there is no trace or SENTRY_TRACE_URL is not set."""
    return settings.SENTRY_TRACE_URL.replace("{trace_id}", trace_id) if trace_id else ""
