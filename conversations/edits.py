"""Making, changing, deleting and restoring conversations. Database units."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from chatproject import writing
from conversations import assistants
from conversations.lookup import conversation_of, with_tags
from conversations.models import Conversation, ConversationTag
from providers.registry import Provider

Route = Callable[[Conversation | None], tuple[Provider, str]]
"""Chooses the provider and the model for a turn of this conversation; None is one yet to be made."""


@writing.atomic()
def create_conversation(owner: User, fields: Mapping[str, Any], route: Route) -> Conversation:
    """One without messages. `fields` are those of ConversationIn that its caller has sent, but for what `route` says.

    Raises Problem `assistant_not_found`, and what `route` raises.
    """
    tags = fields.get("tags", ())
    made, _ = new_conversation(owner, {name: value for name, value in fields.items() if name != "tags"}, route)
    made.save(force_insert=True)
    add_tags(made, tags)
    return with_tags(made)


def new_conversation(owner: User, fields: Mapping[str, Any], route: Route) -> tuple[Conversation, Provider]:
    """A conversation, not saved yet, and its provider. What `fields` lacks, its assistant has, if it names one.

    Raises as create_conversation does.
    """
    known = dict(fields)
    start: Conversation | None = None
    if assistant_id := known.get("assistant_id"):
        preset = assistants.assistant_of(owner, assistant_id)
        start = Conversation(provider=preset.provider, model=preset.model)
        known.setdefault("system_prompt", preset.system_prompt)
        known["parameters"] = {**preset.parameters, **known.get("parameters", {})}
    provider, model = route(start)
    return Conversation(owner=owner, provider=provider.name, model=model, **known), provider


@writing.atomic()
def change_conversation(owner: User, conversation_id: UUID, changes: Mapping[str, Any]) -> Conversation:
    """Changes these fields and no others: a turn that runs in it writes its own. Raises `conversation_not_found`."""
    fields = {name: value for name, value in changes.items() if name != "tags"}
    # Locked: of two that change the tags at once, one has to wait.
    found = conversation_of(owner, conversation_id, lock=True)
    if fields:
        Conversation.objects.filter(pk=found.pk).update(**fields)
        found.refresh_from_db()
    if "tags" in changes:
        found.tag_rows.all().delete()
        add_tags(found, changes["tags"])
    return with_tags(found)


def add_tags(conversation: Conversation, names: Iterable[str]) -> None:
    ConversationTag.objects.bulk_create(ConversationTag(conversation=conversation, name=name) for name in names)


@writing.atomic()
def delete_conversation(owner: User, conversation_id: UUID, *, permanent: bool = False) -> None:
    """Puts it away, until it is restored or purged, or deletes it for good, also when it was put away before. A turn
    that runs in it is ended by its worker, see leases.unwanted. Raises Problem `conversation_not_found`.
    """
    found = conversation_of(owner, conversation_id, deleted=permanent)
    if permanent:
        delete_conversations([found.pk])
    else:
        Conversation.objects.filter(pk=found.pk).update(deleted_at=timezone.now())


def restore_conversation(owner: User, conversation_id: UUID) -> Conversation:
    """Brings back one that was put away; any other stays as it is. Raises Problem `conversation_not_found`."""
    restore_conversations([conversation_of(owner, conversation_id, deleted=True).pk])
    return with_tags(conversation_of(owner, conversation_id))


def restore_conversations(ids: Collection[UUID]) -> int:
    """Returns how many of them had been put away."""
    return Conversation.objects.filter(pk__in=ids, deleted_at__isnull=False).update(deleted_at=None)


@writing.atomic()
def delete_conversations(ids: Collection[UUID]) -> None:
    """Deletes them and their messages. A turn that runs in one is ended by its worker, which misses its message."""
    # Locked, so that a turn that starts meanwhile waits, and then finds nothing.
    locked = list(
        Conversation.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", flat=True)
    )
    Conversation.objects.filter(pk__in=locked).delete()
