"""How long conversations are kept: CHAT_RETENTION_DAYS after their last activity."""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from conversations.models import Conversation

BATCH = 500
"""Conversations deleted at once: a transaction that the live turns can wait for, on SQLite too."""


def count_before(moment: datetime) -> int:
    """How many conversations had their last activity before `moment`."""
    return _before(moment).count()


def delete_before(moment: datetime) -> int:
    """Deletes those conversations with their messages, oldest first, and returns how many there were."""
    deleted = 0
    while batch := _delete_some(moment):
        deleted += batch
    return deleted


@transaction.atomic
def _delete_some(moment: datetime) -> int:
    # Locked: a turn that begins now waits, and then finds nothing, where it would else write into what is deleted.
    some = _before(moment).select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
    ids = list(some.order_by("last_activity_at").values_list("pk", flat=True)[:BATCH])
    Conversation.objects.filter(pk__in=ids).delete()
    return len(ids)


def _before(moment: datetime) -> QuerySet[Conversation]:
    return Conversation.objects.filter(last_activity_at__lt=moment)
