"""How an answer ended, told anew from its message alone: when nobody is left who was there."""

import copy

from chatproject.openapi import STATUSES
from chatproject.problems import Problem
from conversations import encoding
from conversations.encoding import DELTA, REASONING
from conversations.models import Message, Status

DETAILS = {
    "cancelled": "The turn was cancelled; what there is of the answer is stored.",
    "interrupted": "The server that ran the turn has stopped; what there is of the answer is stored.",
}
OTHER = "The turn has failed; what there is of the answer is stored."


def problem_of(message: Message) -> Problem | None:
    """The problem that the turn of this answer has ended with; None when it is complete."""
    if message.status == Status.COMPLETED:
        return None
    code = message.error_code or str(message.status)
    status, title = STATUSES.get(code, STATUSES["internal_error"])
    return Problem(
        code,
        DETAILS.get(code, OTHER),
        status=status,
        title=title,
        conversation_id=str(message.conversation_id),
        message_id=str(message.pk),
        provider=message.provider,
        model=message.model,
        trace_id=message.trace_id,
        sentry_event_id=message.sentry_event_id or None,
    )


def events_of(message: Message) -> bytes:
    """The events of an answer, as few as there can be: a delta for the text, and one for the reasoning."""
    events = [encoding.created(empty(message))]
    for name, text in ((REASONING, message.reasoning), (DELTA, message.content)):
        if text:
            events.append(encoding.encode(name, len(events), encoding.delta(text)))
    return b"".join([*events, encoding.last(len(events), message, problem_of(message))])


def empty(message: Message) -> Message:
    """The answer as it was when its turn began."""
    begun = copy.copy(message)
    begun.status, begun.content, begun.reasoning, begun.tool_calls = Status.STREAMING, "", "", None
    begun.finish_reason = begun.error_code = begun.sentry_event_id = ""
    begun.prompt_tokens = begun.completion_tokens = begun.total_tokens = begun.cost_usd = None
    begun.usage_estimated, begun.ttft_ms, begun.latency_ms = False, None, None
    return begun
