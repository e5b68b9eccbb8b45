"""The requests with an Idempotency-Key in the database: who may run, what has become of it. Database units.

A request is claimed by its first sender. A turn that it begins is tied to it in the transaction that begins the turn,
so that whatever happens from there on, no other turn begins with this key.
"""

from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from chatproject import writing
from chatproject.problems import Problem
from conversations.models import IdempotentRequest, Message, Status

LEASE = timedelta(seconds=15)
"""How long a request whose worker has died counts as under way; several missed heartbeats."""

KEPT = timedelta(hours=24)
BATCH = 1_000
"""Requests deleted at once."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Claim:
    """The right to carry out a request."""

    pk: int
    tied: bool = False
    """Whether it has begun a turn."""


@dataclass(frozen=True, slots=True)
class Before:
    """What became of the request when it was sent first."""

    record: IdempotentRequest
    message: Message | None
    """The answer of its turn, if it is stored."""
    has_events: bool
    """Whether the events of that are still kept."""


current: ContextVar[Claim | None] = ContextVar("claim", default=None)
"""Of the request that is carried out."""


def claimed() -> Claim | None:
    return current.get()


def claim(user: User, key: str, fingerprint: str) -> Claim | Before:
    """Lets the first sender of this key carry the request out; tells the others what became of it.

    Raises Problem `idempotency_key_reused` and `idempotency_in_progress`.
    """
    now = timezone.now()
    fresh = {"fingerprint": fingerprint, "lease_until": now + LEASE}
    with writing.atomic():
        IdempotentRequest.objects.filter(user=user, key=key, created_at__lt=now - KEPT).delete()
        record, made = IdempotentRequest.objects.select_for_update().get_or_create(user=user, key=key, defaults=fresh)
        if made:
            return Claim(record.pk)
        if record.fingerprint != fingerprint:
            detail = "Idempotency-Key: was used with another method, path or body; take a new key for a new request."
            raise Problem("idempotency_key_reused", detail)
        if record.status is None and record.message_id is None and record.lease_until < now:
            # Whoever had it died before it came to anything that must not happen twice.
            IdempotentRequest.objects.filter(pk=record.pk).update(lease_until=now + LEASE)
            return Claim(record.pk)
        return _before(record)


def _before(record: IdempotentRequest) -> Before:
    """Raises Problem `idempotency_in_progress` while nobody can tell what becomes of it."""
    message = Message.objects.filter(pk=record.message_id).first() if record.message_id else None
    if record.status is None and not (message and message.detached):
        # A worker has the result of a turn that has ended for a moment before it keeps it.
        running = record.lease_until > timezone.now() or (message is not None and message.status == Status.STREAMING)
        if running:
            detail = "Its result will be the answer to the same request, sent again later."
            raise Problem("idempotency_in_progress", detail, headers={"Retry-After": "1"})
    events = message is not None and message.detached and message.event_batches.exists()
    return Before(record, message, events)


def tied(unit: Callable[P, T], message_id: UUID) -> Callable[P, T]:
    """The unit that begins a turn, which in the same transaction notes the answer's id with the request.

    It raises Problem `idempotency_in_progress` when somebody else has begun one meanwhile; then nothing is stored.
    """
    claim = claimed()
    if claim is None:
        return unit

    @wraps(unit)
    def begin(*args: P.args, **kwargs: P.kwargs) -> T:
        claim.tied = False  # what a first try did may have been rolled back
        with writing.atomic():
            result = unit(*args, **kwargs)
            mine = IdempotentRequest.objects.filter(pk=claim.pk, message_id=None, status=None)
            if not mine.update(message_id=message_id):
                raise Problem("idempotency_in_progress", "It was sent again meanwhile.", headers={"Retry-After": "1"})
        claim.tied = True
        return result

    return begin


def keep(pk: int, status: int, headers: Mapping[str, str], body: str) -> None:
    """Keeps the result, unless there is one."""
    IdempotentRequest.objects.filter(pk=pk, status=None).update(status=status, headers=dict(headers), body=body)


def release(pk: int) -> None:
    """Forgets a request that came to nothing: it may be sent again."""
    IdempotentRequest.objects.filter(pk=pk, message_id=None, status=None).delete()


def keep_alive(pks: Collection[int]) -> None:
    IdempotentRequest.objects.filter(pk__in=pks).update(lease_until=timezone.now() + LEASE)


def delete_old() -> int:
    """Deletes requests that are KEPT no longer, a number of them; returns how many."""
    old = IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT).order_by("created_at")
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    IdempotentRequest.objects.filter(pk__in=ids).delete()
    return len(ids)
