"""What is exported, read in pieces that fit into memory: no query stays open while a piece is on its way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from chatproject.problems import Problem
from conversations.models import Conversation, Message

PAGE = 50
"""Messages that are in memory at a time, without their images."""

IDS = 1_000
"""Of conversations that are in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which of the owner's conversations: of `ids` if there are some, with their last activity in [since, until)."""

    owner: User
    ids: Sequence[UUID] = ()
    since: datetime | None = None
    until: datetime | None = None


def rows(chosen: Chosen) -> QuerySet[Conversation]:
    found = Conversation.objects.filter(owner=chosen.owner, deleted_at__isnull=True)
    if chosen.ids:
        found = found.filter(pk__in=chosen.ids)
    if chosen.since:
        found = found.filter(last_activity_at__gte=chosen.since)
    if chosen.until:
        found = found.filter(last_activity_at__lt=chosen.until)
    return found


def check(chosen: Chosen) -> None:
    """Raises Problem `conversation_not_found` when one of `ids` is not the owner's."""
    mine = Chosen(owner=chosen.owner, ids=chosen.ids)
    if chosen.ids and rows(mine).count() < len(set(chosen.ids)):
        raise Problem("conversation_not_found", "ids: you have no conversation with one of these ids.")


def conversations(chosen: Chosen) -> Iterator[Conversation]:
    """Oldest first; one at a time, since a system prompt or metadata may be large.

    What is deleted meanwhile is left out. The ids come many at a time: no index has all of an owner's conversations in
    their order.
    """
    after: dict[str, Any] = {}
    while ids := list(rows(chosen).filter(**after).order_by("pk").values_list("pk", flat=True)[:IDS]):
        for pk in ids:
            if conversation := rows(chosen).filter(pk=pk).first():
                yield conversation
        after = {"pk__gt": ids[-1]}


def messages(conversation: Conversation) -> Iterator[tuple[Message, list[Any] | None]]:
    """Oldest first, each with its parts. Those are read one message at a time: images are large."""
    mine = Message.objects.filter(conversation=conversation).order_by("pk").defer("parts")
    mine = mine.annotate(plain=Q(parts__isnull=True))
    after: dict[str, Any] = {}
    while page := list(mine.filter(**after)[:PAGE]):
        for message in page:
            yield message, None if message.plain else parts_of(message)
        after = {"pk__gt": page[-1].pk}


def parts_of(message: Message) -> list[Any] | None:
    found: list[Any] | None = Message.objects.filter(pk=message.pk).values_list("parts", flat=True).first()
    return found
