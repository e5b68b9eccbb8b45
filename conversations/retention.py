"""How long conversations are kept: CHAT_RETENTION_DAYS after their last activity."""

from datetime import datetime

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
    while ids := list(_before(moment).order_by("last_activity_at").values_list("pk", flat=True)[:BATCH]):
        # The condition again: somebody may have gone on with one of them meanwhile.
        _, rows = _before(moment).filter(pk__in=ids).delete()
        deleted += rows.get(Conversation._meta.label, 0)
    return deleted


def _before(moment: datetime) -> QuerySet[Conversation]:
    return Conversation.objects.filter(last_activity_at__lt=moment)
