"""An export as text, in pieces. A writer is a plain generator: it reads the database between two pieces, never across.

Each format has an end of its own, so that an export that broke off shows: JSON Lines a last line with the counts, JSON
its closing brackets, Markdown a last line in words.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.utils import timezone

from conversations.models import Conversation
from conversations.transfer import markdown
from conversations.transfer.document import HEAD, Json, dumps, moment, of_conversation, of_message
from conversations.transfer.reading import Chosen, conversations, messages

Writer = Callable[[Chosen], Iterator[str]]


class Counts:
    def __init__(self) -> None:
        self.conversations = 0
        self.messages = 0

    def document(self) -> Json:
        return {"conversation_count": self.conversations, "message_count": self.messages}


def jsonl(chosen: Chosen) -> Iterator[str]:
    counts = Counts()
    for conversation in conversations(chosen):
        yield from one(conversation, HEAD, counts)
        yield "\n"
    yield f"{dumps({**HEAD, **counts.document()})}\n"


def json(chosen: Chosen) -> Iterator[str]:
    counts = Counts()
    yield opened({**HEAD, "exported_at": moment(timezone.now())}, "conversations")
    for conversation in conversations(chosen):
        yield ",\n" if counts.conversations else "\n"
        yield from one(conversation, {}, counts)
    yield f"\n], {dumps(counts.document())[1:]}\n"


def one(conversation: Conversation, head: Json, counts: Counts) -> Iterator[str]:
    """One conversation as a JSON object on one line."""
    counts.conversations += 1
    yield opened({**head, **of_conversation(conversation)}, "messages")
    comma = ""
    for message, parts in messages(conversation):
        counts.messages += 1
        yield comma + dumps(of_message(message, parts))
        comma = ", "
    yield "]}"


def opened(fields: Json, items: str) -> str:
    """The object with these fields, up to the opening bracket of the list `items`."""
    return f'{dumps(fields)[:-1]}, "{items}": ['


def prose(chosen: Chosen) -> Iterator[str]:
    counts = Counts()
    for conversation in conversations(chosen):
        counts.conversations += 1
        yield markdown.of_conversation(conversation)
        for message, parts in messages(conversation):
            counts.messages += 1
            yield markdown.of_message(message, parts)
    yield f"---\n\nEnd of the export. Conversations: {counts.conversations}; messages: {counts.messages}.\n"


WRITERS: dict[str, tuple[Writer, str, str]] = {
    "jsonl": (jsonl, "application/x-ndjson", "jsonl"),
    "json": (json, "application/json", "json"),
    "markdown": (prose, "text/markdown; charset=utf-8", "md"),
}
"""By format: the writer, the media type, the end of a file's name."""


def media_types(*formats: str) -> dict[str, Any]:
    """The `openapi_extra` of an endpoint that answers with one of these."""
    content = {
        WRITERS[name][1].split(";")[0]: {"schema": {"type": "object" if name == "json" else "string"}}
        for name in formats
    }
    return {"responses": {200: {"description": "The export.", "content": content}}}
