"""The part of a conversation that goes along to the provider: as much of its end as the token budget holds.

An exchange is a question and all that it has led to: answers, calls and their results. Exchanges go along whole, so
that a prompt never begins with an answer and no result is without its call. Only the newest may be cut: it always
goes along, and loses its middle when it is too long.
"""

from collections.abc import Iterable, Iterator
from itertools import dropwhile
from typing import Any
from uuid import UUID

from django.db.models import Q

from conversations import estimate
from conversations.content import MAX_IMAGES, images_in, is_image
from conversations.models import Message, Role, Status
from providers.base import EXTRA, ChatMessage, Part

PAGE = 50
MAX_MESSAGES = 200
"""However large the budget, so that a turn's cost does not grow with its conversation."""

BYTES_PER_TOKEN = 3
"""Fewer than usual: a prompt that is too long is refused."""

IMAGE = "[image]"
"""Stands for an image that does not go along."""

Block = list[ChatMessage]
"""What must stay together: a message; an answer's calls with their results, and what the user says to these."""

FIELDS = ("id", "role", "content", "tool_calls", "tool_call_id", "provider", "plain")


def size_of(message: ChatMessage) -> int:
    """About how many tokens a message is, on the high side; a provider puts some of its own around each."""
    return estimate.of_message(message, BYTES_PER_TOKEN) + 4


def size_of_json(value: object) -> int:
    """About how many tokens tool calls, or the descriptions of tools, are."""
    return estimate.of_json(value, BYTES_PER_TOKEN)


def window(
    conversation_id: UUID | None,
    new: list[ChatMessage],
    budget: int,
    *,
    provider: str,
    images: bool,
    before: UUID | None = None,
) -> list[ChatMessage]:
    """What goes to `provider` of a conversation, oldest first: `new`, and as much of what is before it as fits into
    `budget` tokens, at most MAX_MESSAGES. Reads the database; None is a conversation with nothing in it.
    `before` is the first of `new`, where they are stored already.

    Without `images`, or when there are MAX_IMAGES newer ones, a text stands for an image.
    """
    if conversation_id is None:
        return fit(new, budget)
    allowed = MAX_IMAGES - sum(images_in(message["content"]) for message in new) if images else 0
    rows = Rows(conversation_id, provider, allowed, before)
    past = upto(until_calls(rows, new), budget - sum(map(size_of, new)))
    if past and all(message["role"] != Role.USER for message in past):
        past += rows.question()  # so much came of it that it is far away
    return fit([*past[::-1], *new], budget)


def until_calls(newest_first: Iterable[ChatMessage], new: list[ChatMessage]) -> Iterator[ChatMessage]:
    """When there are tool results in `new`: from their calls back, without the turn that failed with them before."""
    results = {message["tool_call_id"] for message in new if "tool_call_id" in message}
    if not results:
        return iter(newest_first)
    return dropwhile(lambda m: results.isdisjoint(call["id"] for call in m.get("tool_calls", ())), newest_first)


def upto(newest_first: Iterable[ChatMessage], budget: int) -> list[ChatMessage]:
    """Those that fit into the budget, and one more: it may be what new tool results answer."""
    found: list[ChatMessage] = []
    for message in newest_first:
        found.append(message)
        budget -= size_of(message)
        if budget < 0:
            break
    return found


class Rows:
    """The messages of a conversation, newest first, as a provider takes them; at most MAX_MESSAGES of its rows.

    In pages, since a short budget is usually full after the first. Images are read one message at a time, and only
    those that go along: they are large.
    """

    def __init__(self, conversation_id: UUID, provider: str, images: int, before: UUID | None = None) -> None:
        # No answer under way is part of it: there is none, or it is the one that this is read for.
        rows = Message.objects.filter(conversation=conversation_id).exclude(status=Status.STREAMING)
        rows = rows.filter(superseded_by__isnull=True)
        if before is not None:
            rows = rows.filter(pk__lt=before)
        self._rows = rows.annotate(plain=Q(parts__isnull=True)).order_by("-id")
        self._provider = provider
        self._images = images
        """How many more may go along."""

    def __iter__(self) -> Iterator[ChatMessage]:
        before: UUID | None = None
        for _ in range(MAX_MESSAGES // PAGE):
            page = list((self._rows.filter(id__lt=before) if before else self._rows).values(*FIELDS)[:PAGE])
            for row in page:
                if message := self._message(row):
                    yield message
            if len(page) < PAGE:
                return
            before = page[-1]["id"]

    def question(self) -> list[ChatMessage]:
        """The user's newest message; a list of one, or of none."""
        row = self._rows.filter(role=Role.USER).values(*FIELDS).first()
        return [message] if row and (message := self._message(row)) else []

    def _message(self, row: dict[str, Any]) -> ChatMessage | None:
        role, text = row["role"], row["content"]
        if role == Role.TOOL:
            return {"role": role, "content": text, "tool_call_id": row["tool_call_id"]}
        if role != Role.ASSISTANT:
            return {"role": role, "content": text if row["plain"] else self._parts(row["id"], text)}
        if row["tool_calls"]:
            message: ChatMessage = {"role": role, "content": text or None, "tool_calls": row["tool_calls"]}
            return message if row["provider"] == self._provider else without_extras(message)
        # A turn that failed before its first token has nothing to say.
        return {"role": role, "content": text} if text else None

    def _parts(self, message_id: UUID, text: str) -> str | list[Part]:
        if self._images > 0:
            parts: list[Part] = Message.objects.values_list("parts", flat=True).get(pk=message_id) or []
            self._images -= images_in(parts)
            if self._images >= 0:
                return parts
        return f"{text}\n{IMAGE}" if text else IMAGE


def fit(messages: list[ChatMessage], budget: int) -> list[ChatMessage]:
    """The newest exchanges that fit into `budget` tokens, oldest first; the newest one even when it does not fit."""
    kept: list[Block] = []
    for exchange in reversed(exchanges(blocks(messages))):
        size = sum(map(size_of_block, exchange))
        if size > budget and kept:
            break
        kept[:0] = exchange if size <= budget else cut(exchange, budget)
        budget -= size
    return merged([message for block in kept for message in block])


def refit(messages: list[ChatMessage], budget: int) -> list[ChatMessage]:
    """Cuts a prompt, the system's part of it first and the newest message last, to a smaller budget."""
    system = [message for message in messages if message["role"] == Role.SYSTEM]
    rest = [message for message in messages if message["role"] != Role.SYSTEM]
    return [*system, *fit(rest, budget - sum(map(size_of, system)))]


def for_another(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The same for another provider than the one that made the calls in it."""
    return [without_extras(message) if "tool_calls" in message else message for message in messages]


def without_extras(message: ChatMessage) -> ChatMessage:
    calls = [{key: value for key, value in call.items() if key != EXTRA} for call in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def without_images(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The same with a text in the place of each image, for a provider that takes none."""
    return [{**message, "content": as_text(message["content"])} for message in messages]


def as_text(content: str | list[Part] | None) -> str | None:
    if not isinstance(content, list):
        return content
    return "\n".join(IMAGE if is_image(part) else part["text"] for part in content)


def blocks(messages: list[ChatMessage]) -> list[Block]:
    """What must stay together. Calls that nobody has answered, and results that answer none, are left out."""
    found: list[Block] = []
    position = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        results: list[ChatMessage] = []
        while position < len(messages) and messages[position]["role"] == Role.TOOL:
            results.append(messages[position])
            position += 1
        called = answered(message, results)
        if called and position < len(messages) and messages[position]["role"] == Role.USER:
            called.append(messages[position])
            position += 1
        if block := called or spoken(message):
            found.append(block)
    return found


def answered(message: ChatMessage, results: list[ChatMessage]) -> Block:
    """An answer's calls and their results, in the order of the calls; nothing unless each has its result."""
    by_id = {result["tool_call_id"]: result for result in results}
    ids = [call["id"] for call in message.get("tool_calls", [])]
    return [message, *(by_id[id] for id in ids)] if ids and by_id.keys() >= set(ids) else []


def spoken(message: ChatMessage) -> Block:
    """The message by its text alone; nothing if it has none, or is a tool's result."""
    if message["role"] == Role.TOOL or message["content"] is None:
        return []
    return [{"role": message["role"], "content": message["content"]}]


def exchanges(blocks: list[Block]) -> list[list[Block]]:
    """Each begins with the user's question; what comes before the first of them is left out."""
    found: list[list[Block]] = []
    for block in blocks:
        if block[0]["role"] == Role.USER:
            found.append([block])
        elif found:
            found[-1].append(block)
    return found


def cut(exchange: list[Block], budget: int) -> list[Block]:
    """The question and the newest block, whatever their size; between them the newest blocks that fit."""
    question, *rest = exchange
    budget -= size_of_block(question)
    kept: list[Block] = []
    for block in reversed(rest):
        budget -= size_of_block(block)
        if budget < 0 and kept:
            break
        kept.insert(0, block)
    return [question, *kept]


def size_of_block(block: Block) -> int:
    return sum(map(size_of, block))


def merged(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Questions in a row, of which all but the last had no answer, become one: several providers refuse two."""
    found: list[ChatMessage] = []
    for message in messages:
        if found and message["role"] == found[-1]["role"] == Role.USER:
            found[-1] = {"role": Role.USER, "content": together(found[-1]["content"], message["content"])}
        else:
            found.append(message)
    return found


def together(one: str | list[Part] | None, other: str | list[Part] | None) -> str | list[Part]:
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n\n{other}"
    return [*as_parts(one), *as_parts(other)]


def as_parts(content: str | list[Part] | None) -> list[Part]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
