"""Server-sent events, as they go out and as they are kept."""

import json
from json.encoder import encode_basestring  # json.dumps makes an encoder for each token

from django.http import HttpResponse
from ninja.responses import NinjaJSONEncoder

from chatproject.problems import Problem
from conversations.documents import MessageOut
from conversations.models import Message

CREATED = "message.created"
DELTA = "message.delta"
REASONING = "message.reasoning"
COMPLETED = "message.completed"
FAILED = "message.failed"

ENCODER = NinjaJSONEncoder()
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")

PING = b": ping\n\n"
END = "\n\n"
"""Of an event. There is none inside of one: its data is one line of JSON."""


def encode(event: str, number: int, data: str) -> bytes:
    return f"event: {event}\nid: {number}\ndata: {data}{END}".encode()


def delta(piece: str) -> str:
    """The data of a piece of text."""
    return f'{{"delta": {encode_basestring(piece)}}}'


def created(message: Message) -> bytes:
    """The first event of a turn, whose number is 0."""
    return encode(CREATED, 0, document(message))


def last(number: int, message: Message, problem: Problem | None) -> bytes:
    """The last event: the whole message, or the problem that the turn has ended with."""
    if problem is None:
        return encode(COMPLETED, number, document(message))
    return encode(FAILED, number, json.dumps(problem.document(message.request_id), ensure_ascii=False))


def is_last(events: str) -> bool:
    """Whether the last of these events is the last of its turn."""
    start = events.rfind(END, 0, -len(END))
    return events.startswith((f"event: {COMPLETED}\n", f"event: {FAILED}\n"), start + len(END) if start >= 0 else 0)


def response(message: Message) -> HttpResponse:
    """The answer of a JSON endpoint. Ninja's own way from a row to JSON was a tenth of a turn's CPU."""
    return HttpResponse(document(message), content_type="application/json; charset=utf-8")


def document(message: Message) -> str:
    """The message as the JSON endpoints show it, to the digit."""
    if message.parts or message.tool_calls:
        return json.dumps(MessageOut.from_orm(message).dict(), cls=NinjaJSONEncoder)
    return json.dumps(plain(message))


def plain(message: Message) -> dict[str, object]:
    """MessageOut of one that is text alone."""
    usage = None
    if message.total_tokens is not None:
        usage = {name: getattr(message, name) for name in USAGE} | {"estimated": message.usage_estimated}
    return {
        "id": str(message.pk),
        "conversation_id": str(message.conversation_id),
        "role": str(message.role),
        "content": message.content,
        "parts": message.parts,
        "reasoning": message.reasoning or None,
        "tool_calls": message.tool_calls,
        "tool_call_id": message.tool_call_id or None,
        "status": str(message.status),
        "finish_reason": message.finish_reason or None,
        "error_code": message.error_code or None,
        "provider": message.provider or None,
        "model": message.model or None,
        "usage": usage,
        "cost_usd": None if message.cost_usd is None else float(message.cost_usd),
        "ttft_ms": message.ttft_ms,
        "latency_ms": message.latency_ms,
        "request_id": message.request_id,
        "trace_id": message.trace_id,
        "sentry_event_id": message.sentry_event_id or None,
        "superseded_by": message.superseded_by and str(message.superseded_by),
        "copied_from": message.copied_from and str(message.copied_from),
        "created_at": ENCODER.default(message.created_at),
    }
