"""Which turns live: the lease of each, who wants its end, and what becomes of those whose workers have died.

Database units, of which `live.py` runs most.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from chatproject import writing
from chatproject.apikeys import ledger
from chatproject.problems import Problem
from conversations import lookup, rows
from conversations.models import Message, Status

LEASE = timedelta(seconds=15)
"""How long a turn whose worker has died keeps its conversation busy; several missed heartbeats."""

DEAD: dict[str, Any] = {"status": Status.INTERRUPTED, "error_code": "interrupted", "lease_until": None}
"""What becomes of a turn whose worker has died."""

SAVE = f"UPDATE {Message._meta.db_table} SET content = %s WHERE id = %s AND status = 'streaming'"  # noqa: S608


def unwanted(live: Collection[UUID]) -> set[UUID]:
    """Of the live turns, those that somebody wants to end: cancelled, or deleted with their conversation."""
    kept = Message.objects.filter(pk__in=live, conversation__deleted_at__isnull=True)
    rows = kept.values_list("pk", "cancel_requested")
    found = dict(rows)
    return {turn for turn in live if found.get(turn, True)}


def take_over_dead_turn(messages: QuerySet[Message]) -> None:
    """Ends the live turn among these messages of one conversation when its lease has run out; raises Problem
    `turn_in_progress` when it has not.
    """
    turn = messages.filter(status=Status.STREAMING).first()
    if turn is None:
        return
    if turn.live:
        raise busy()
    Message.objects.filter(pk=turn.pk, status=Status.STREAMING).update(**DEAD)


def busy() -> Problem:
    return Problem(
        "turn_in_progress",
        "Wait for the running turn of this conversation to end, or use another conversation.",
        headers={"Retry-After": "1"},
    )


def keep_alive(live: Collection[UUID], texts: dict[UUID, str], metered: Collection[UUID] = ()) -> None:
    """Extends the leases of the live turns, and saves the texts so far that are new: {message id: text}.

    Of the turns of `metered`, stored or not, the lease in the ledger is extended as well.
    """
    running = Message.objects.filter(status=Status.STREAMING, pk__in=live)
    with writing.atomic():
        running.update(lease_until=timezone.now() + LEASE)
        save(texts)
        if metered:
            ledger.keep_alive(metered)


def save(texts: dict[UUID, str]) -> None:
    """Of the turns that still run. One statement, prepared once: each stream comes by here every second."""
    if not texts:
        return
    # Sorted: in the order in which others lock them.
    saved = [(text, rows.key(message_id)) for message_id, text in sorted(texts.items())]
    with connection.cursor() as cursor:
        cursor.executemany(SAVE, saved)


def dead_turns() -> QuerySet[Message]:
    """The turns whose workers have died, wherever they ran.

    Going by the lease, not by age: a turn that lives, on this node or another, keeps its own.
    """
    # exclude() repeats the condition of the index `message_unfinished`, without which SQLite reads every message.
    unfinished = Message.objects.filter(status=Status.STREAMING).exclude(status=Status.COMPLETED)
    return unfinished.filter(lease_until__lt=timezone.now())


def dead_turn_ids(alive: Collection[UUID]) -> set[UUID]:
    """The ids of `dead_turns`, but for those that the caller knows to be alive."""
    return set(dead_turns().values_list("pk", flat=True)) - set(alive)


def sweep_turns(ids: Collection[UUID] | None = None) -> int:
    """Ends the dead turns as `interrupted`, all or only those of `ids`; returns how many there were."""
    dead = dead_turns() if ids is None else dead_turns().filter(pk__in=ids)
    return dead.update(**DEAD)


def cancel_turn(owner: User, conversation_id: UUID, message_id: UUID) -> Message:
    """Asks the worker that runs the turn of this answer to end it, and ends it here when that worker has died.

    Returns the answer as it is then: one that had ended is left as it is. Raises as `lookup.answer_of` does.
    """
    message = lookup.answer_of(owner, conversation_id, message_id)
    running = Message.objects.filter(pk=message_id, status=Status.STREAMING)
    if message.live:
        running.update(cancel_requested=True)
    elif message.status == Status.STREAMING and running.update(**DEAD, cancel_requested=True):
        message.refresh_from_db()  # requested all the same, in case the worker was only cut off from the database
    return message
