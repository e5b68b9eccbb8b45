"""Going on from somewhere else than a conversation's end: its last answer again, and forks. Database units.

A fork is a conversation of its own. It begins with copies of what was said, not of what that took: usage, cost and
timings stay with the originals, so that nothing is counted twice.
"""

import secrets
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from uuid_utils.compat import uuid7

from chatproject import writing
from chatproject.problems import Problem
from conversations import edits, leases, lookup
from conversations.content import images_in
from conversations.models import Conversation, Message, Role
from conversations.rows import key
from providers.base import ChatMessage

MAX_COPIED = 10_000
"""Messages of a fork: what a transaction copies while others wait for it."""

BATCH = 500
LOOKED_AT = 1_000
"""Messages among which a question is looked for: up to 128 tool results each time that its turn was tried."""

COPIED = (
    "role",
    "content",
    "parts",
    "reasoning",
    "tool_calls",
    "tool_call_id",
    "status",
    "finish_reason",
    "error_code",
    "provider",
    "model",
    "created_at",
)


class Question(NamedTuple):
    """What an answer answers: a user's message, tool results, or these and then that; the system may speak up."""

    messages: list[ChatMessage]
    stored_since: UUID | None
    """The id of the first of them, if they are stored."""


def again(conversation: Conversation, answer_id: UUID, new_id: UUID, *, images: bool) -> Question:
    """Makes room for the answer `new_id` in the place of the conversation's last one, and returns what that answered.

    Raises Problem `message_not_found`; `not_last_answer`; `invalid_request` for a message that is no answer, that
    answers nothing, or whose question has images where there can be none.
    """
    answer = lookup.must_be(lookup.message_in(conversation, answer_id), Role.ASSISTANT)
    if answer != conversation.messages.filter(superseded_by__isnull=True).order_by("pk").last():
        detail = (
            "Only the last answer of a conversation can be made again; edit the question, or fork, to go on earlier."
        )
        raise Problem("not_last_answer", detail)
    question = asked_before(answer)
    if all(message["role"] == Role.SYSTEM for message in question.messages):
        raise wrong("message_id", "answers no message")
    if not images and any(images_in(message["content"]) for message in question.messages):
        raise wrong("provider", "takes no images, and the question has some; name another provider")
    Message.objects.filter(pk=answer_id).update(superseded_by=new_id)
    return question


def asked_before(answer: Message) -> Question:
    """What the answer was for: all that stands between it and the answer before."""
    rows = Message.objects.filter(conversation=answer.conversation_id, pk__lt=answer.pk, superseded_by__isnull=True)
    before = rows.order_by("-pk").values_list("pk", "role")[:LOOKED_AT].iterator()
    ids = [pk for pk, _ in takewhile(lambda row: row[1] != Role.ASSISTANT, before)]
    messages = Message.objects.filter(pk__in=ids).order_by("pk")
    return Question([as_said(message) for message in messages], ids[-1] if ids else None)


def as_said(message: Message) -> ChatMessage:
    said: ChatMessage = {"role": message.role, "content": message.parts or message.content}
    return said | {"tool_call_id": message.tool_call_id} if message.role == Role.TOOL else said


def wrong(field: str, message: str) -> Problem:
    return Problem("invalid_request", f"{field}: {message}.", errors=[{"field": field, "message": message}])


@writing.atomic()
def fork_conversation(owner: User, conversation_id: UUID, message_id: UUID | None) -> Conversation:
    """A copy of the conversation up to the message, inclusive; None is all of it. Without answers that were made
    again, but for that one.

    Raises Problem `conversation_not_found`, `message_not_found`, `turn_in_progress` or `too_many_messages`.
    """
    source = lookup.conversation_of(owner, conversation_id, lock=True)
    last = lookup.message_in(source, message_id) if message_id else newest(source)
    return lookup.with_tags(copy(source, last, before=uuid7()))


def fork_before(source: Conversation, message_id: UUID, before: UUID) -> Conversation:
    """A copy up to the user's message, exclusive, whose messages have ids that come before `before`.

    Raises Problem `message_not_found`, `turn_in_progress` or `too_many_messages`; `invalid_request` for a message
    that is not a user's.
    """
    message = lookup.must_be(lookup.message_in(source, message_id), Role.USER)
    return copy(source, newest(source, before=message.pk), before=before)


def newest(conversation: Conversation, before: UUID | None = None) -> Message | None:
    rows = conversation.messages.filter(superseded_by__isnull=True)
    return (rows.filter(pk__lt=before) if before else rows).order_by("pk").last()


def copy(source: Conversation, last: Message | None, *, before: UUID) -> Conversation:
    ids: list[UUID] = []
    if last is not None:
        rows = source.messages.filter(pk__lte=last.pk).filter(Q(superseded_by__isnull=True) | Q(pk=last.pk))
        leases.take_over_dead_turn(rows)
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_COPIED + 1])
        if len(ids) > MAX_COPIED:
            detail = f"A fork has at most {MAX_COPIED:,} messages: fork at an earlier one, or begin a new conversation."
            raise Problem("too_many_messages", detail)
    made = Conversation(
        owner_id=source.owner_id,
        title=source.title if ids else "",  # made from the first message, which will be another
        provider=source.provider,
        model=source.model,
        system_prompt=source.system_prompt,
        metadata=source.metadata,
        parameters=source.parameters,
        assistant_id=source.assistant_id,
        forked_from=source,
        forked_at=last.pk if last else None,
        message_count=len(ids),
    )
    made.save(force_insert=True)
    edits.add_tags(made, source.tag_rows.order_by("pk").values_list("name", flat=True))
    copy_messages(ids, made, before)
    return made


def copy_messages(ids: list[UUID], into: Conversation, before: UUID) -> None:
    """In the database alone: what was said may be large."""
    own = ", ".join(COPIED)
    table = Message._meta.db_table
    statement = (
        f"INSERT INTO {table} (id, conversation_id, copied_from, request_id, trace_id, sentry_event_id, {own})"  # noqa: S608
        f" SELECT %s, %s, id, '', '', '', {own} FROM {table} WHERE id = %s"
    )
    rows = [
        [key(id_) for id_ in (new, into.pk, old)] for new, old in zip(ids_before(before, len(ids)), ids, strict=True)
    ]
    with connection.cursor() as cursor:
        for start in range(0, len(rows), BATCH):
            cursor.executemany(statement, rows[start : start + BATCH])


def ids_before(end: UUID, count: int) -> Iterator[UUID]:
    """So many UUIDv7, in order, a millisecond apart, the last of them a millisecond before `end`."""
    for milliseconds in range((end.int >> 80) - count, end.int >> 80):
        yield UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))
