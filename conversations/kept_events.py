"""The kept events of detached turns in the database: written, read, and deleted when their time is over."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from chatproject.problems import Problem
from conversations import encoding, lookup
from conversations.encoding import END
from conversations.keeping import Batch
from conversations.models import EventBatch, Message, Status

ROWS = 8
"""Batches that a reader gets at once."""

MESSAGES = 50
"""Messages whose events are deleted at once: a transaction that the live turns can wait for, on SQLite too."""


class Kept(NamedTuple):
    """Events that follow one another, encoded."""

    data: str
    last: int
    """The number of the last of them."""
    ends: bool
    """Whether that is the last of the turn."""


def begin(message: Message) -> None:
    """Keeps the first event; in the transaction that stores the message."""
    write([Batch(message.pk, 0, 0, encoding.created(message).decode())])


def write(batches: Iterable[Batch]) -> None:
    """Keeps events. What is there already stays, and what belongs to no message any more is dropped."""
    rows = [EventBatch(**batch._asdict()) for batch in batches]
    if not rows:  # of most turns; to ask the ORM for nothing took a fifth of a turn's end
        return
    ids = {row.message_id for row in rows}
    known = set(Message.objects.filter(pk__in=ids).values_list("pk", flat=True))
    EventBatch.objects.bulk_create([row for row in rows if row.message_id in known], ignore_conflicts=True)


def message_with_events(owner: User, conversation_id: UUID, message_id: UUID) -> Message:
    """The answer whose events can be read. Raises as `lookup.answer_of` does, and `events_not_kept`, `events_gone`."""
    message = lookup.answer_of(owner, conversation_id, message_id)
    if not message.detached:
        detail = "Only a turn that was asked for with `detached`, or with an Idempotency-Key and `stream`, keeps them."
        raise Problem("events_not_kept", detail)
    if not EventBatch.objects.filter(message=message_id).exists():
        hours = settings.CHAT_EVENTS_HOURS
        detail = (
            f"They are kept for {hours} h; the whole answer is in GET .../conversations/{conversation_id}/messages."
        )
        raise Problem("events_gone", detail)
    return message


def last_of(message_id: UUID) -> int | None:
    """The number of the turn's last event; None while that is not there."""
    latest = EventBatch.objects.filter(message=message_id).order_by("-first").first()
    return latest.last if latest and encoding.is_last(latest.data) else None


def read(message_id: UUID, after: int) -> Kept | None:
    """The events that follow number `after`, as far as they are there; None when none is yet."""
    rows = EventBatch.objects.filter(message=message_id)
    start = rows.filter(first__lte=after + 1).order_by("-first").values("first")[:1]
    found = rows.filter(first__gte=start, last__gt=after).order_by("first").values_list("first", "last", "data")[:ROWS]
    pieces, last = [], after
    for first, until, data in found:
        if first > last + 1:  # one between them is still on its way
            break
        pieces.append(data if first == last + 1 else END.join(data.split(END)[last + 1 - first :]))
        last = until
    return Kept("".join(pieces), last, encoding.is_last(pieces[-1])) if pieces else None


def ended(message_id: UUID) -> Message | None:
    """The message when its turn has ended; None while it runs, and until somebody has ended one whose worker has died.

    Raises Message.DoesNotExist. Whoever reads the events after this has got all that there will be.
    """
    message = Message.objects.get(pk=message_id)
    return None if message.status == Status.STREAMING else message


def delete_old() -> int:
    """Deletes the events of turns that ended CHAT_EVENTS_HOURS ago, of some of them; returns of how many."""
    ids = _over(timezone.now() - timedelta(hours=settings.CHAT_EVENTS_HOURS))
    EventBatch.objects.filter(message__in=ids).delete()
    return len(ids)


def _over(moment: datetime) -> Collection[UUID]:
    """Messages whose last event, and so the end of their turn, is older: all of their events go, or none."""
    oldest = EventBatch.objects.filter(created_at__lt=moment).order_by("created_at").values_list("message", flat=True)
    ids = set(oldest[: MESSAGES * 10])
    ids -= set(EventBatch.objects.filter(message__in=ids, created_at__gte=moment).values_list("message", flat=True))
    ids -= set(Message.objects.filter(pk__in=ids, status=Status.STREAMING).values_list("pk", flat=True))
    return sorted(ids)[:MESSAGES]
