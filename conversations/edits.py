"""Changing and deleting conversations. Database units."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from conversations.lookup import conversation_of
from conversations.models import Conversation


def change_conversation(owner: User, conversation_id: UUID, changes: dict[str, Any]) -> Conversation:
    if changes:
        Conversation.objects.filter(pk=conversation_id, owner=owner).update(**changes)
    return conversation_of(owner, conversation_id)


@transaction.atomic
def delete_conversation(owner: User, conversation_id: UUID) -> None:
    delete_conversations([conversation_of(owner, conversation_id).pk])


@transaction.atomic
def delete_conversations(ids: Collection[UUID]) -> None:
    """Deletes them and their messages. A turn that runs in one is ended by its worker, which misses its message."""
    # Locked, so that a turn that starts meanwhile waits, and then finds nothing.
    locked = list(
        Conversation.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", flat=True)
    )
    Conversation.objects.filter(pk__in=locked).delete()
