"""Server-sent events, as they go out and as they are kept."""

import json
from json.encoder import encode_basestring  # json.dumps makes an encoder for each token

from ninja.responses import NinjaJSONEncoder

from chatproject.problems import Problem
from conversations.documents import MessageOut
from conversations.models import Message

CREATED = "message.created"
DELTA = "message.delta"
REASONING = "message.reasoning"
COMPLETED = "message.completed"
FAILED = "message.failed"

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


def document(message: Message) -> str:
    """The message as the JSON endpoints show it, to the digit."""
    return json.dumps(MessageOut.from_orm(message).dict(), cls=NinjaJSONEncoder)
