"""Assistants: presets that conversations start from. Database units."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError

from chatproject import writing
from chatproject.pagination import page
from chatproject.problems import Problem
from conversations.models import Assistant


def assistant_of(owner: User, assistant_id: UUID) -> Assistant:
    """The owner's assistant. Raises Problem `assistant_not_found`, also for somebody else's."""
    found = Assistant.objects.filter(pk=assistant_id, owner=owner).first()
    if found is None:
        raise missing()
    return found


def assistants_page(owner: User, limit: int, cursor: str | None) -> tuple[list[Assistant], str | None]:
    """Newest first. Raises Problem `invalid_cursor`."""
    return page(Assistant.objects.filter(owner=owner), limit=limit, cursor=cursor, newest_first=True)


def create_assistant(owner: User, fields: dict[str, Any]) -> Assistant:
    """Raises Problem `assistant_exists`."""
    made = Assistant(owner=owner, **fields)
    save(made)
    return made


def change_assistant(owner: User, assistant_id: UUID, changes: dict[str, Any]) -> Assistant:
    """Raises Problem `assistant_not_found` or `assistant_exists`."""
    found = assistant_of(owner, assistant_id)
    for name, value in changes.items():
        setattr(found, name, value)
    if changes:
        save(found, update_fields=[*changes, "updated_at"])
    return found


def save(assistant: Assistant, **how: Any) -> None:
    try:
        with writing.atomic():
            assistant.save(**how)
    except IntegrityError:
        others = Assistant.objects.filter(owner=assistant.owner_id, name=assistant.name).exclude(pk=assistant.pk)
        if not others.exists():
            raise
        raise taken() from None
    except DatabaseError:
        if "update_fields" not in how or Assistant.objects.filter(pk=assistant.pk).exists():
            raise
        raise missing() from None  # it was deleted since it was read


def missing() -> Problem:
    return Problem("assistant_not_found", "You have no assistant with this id.")


def taken() -> Problem:
    message = "is the name of another assistant of yours; choose another"
    return Problem("assistant_exists", f"name: {message}.", errors=[{"field": "name", "message": message}])


def delete_assistant(owner: User, assistant_id: UUID) -> None:
    """The conversations that started from it stay as they are."""
    assistant_of(owner, assistant_id).delete()
