"""How long conversations are kept: CHAT_RETENTION_DAYS after their last activity, and once deleted until a purge."""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from conversations.models import Conversation

BATCH = 500
"""Conversations deleted at once: a transaction that the live turns can wait for, on SQLite too."""


def unused_since(moment: datetime) -> QuerySet[Conversation]:
    """Those whose last activity was before `moment`, oldest first."""
    return Conversation.objects.filter(last_activity_at__lt=moment).order_by("last_activity_at")


def deleted_before(moment: datetime) -> QuerySet[Conversation]:
    """Those that their owners deleted before `moment`, oldest first."""
    return Conversation.objects.filter(deleted_at__lt=moment).order_by("deleted_at", "id")


def delete_all(rows: QuerySet[Conversation], batch: int = BATCH) -> int:
    """Deletes these with their messages for good, `batch` in a transaction, and returns how many there were."""
    deleted = 0
    while some := _delete_some(rows, batch):
        deleted += some
    return deleted


@transaction.atomic
def _delete_some(rows: QuerySet[Conversation], batch: int) -> int:
    # Locked: a turn that begins now waits, and then finds nothing, where it would else write into what is deleted.
    some = rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
    ids = list(some.values_list("pk", flat=True)[:batch])
    Conversation.objects.filter(pk__in=ids).delete()
    return len(ids)
