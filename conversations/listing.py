"""A user's conversations, page by page, as filters have it. Database units."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import BooleanField, Exists, F, Func, OuterRef, QuerySet

from chatproject.pagination import page
from conversations.models import Conversation, ConversationTag


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Each narrows the list down; None is no filter."""

    archived: bool | None = False
    pinned: bool | None = None
    tags: Sequence[str] = ()
    """All of them."""
    metadata: Sequence[str] = ()
    """`NAME:VALUE`, see MetadataIs; all of them."""
    assistant_id: UUID | None = None
    deleted: bool = False


def conversations_page(
    owner: User, filters: Filters, limit: int, cursor: str | None
) -> tuple[list[Conversation], str | None]:
    """Newest first, with their tags. Raises Problem `invalid_cursor`."""
    rows = filtered(Conversation.objects.filter(owner=owner), filters)
    return page(rows.prefetch_related("tag_rows"), limit=limit, cursor=cursor, newest_first=True)


def filtered(rows: QuerySet[Conversation], filters: Filters) -> QuerySet[Conversation]:
    rows = rows.filter(deleted_at__isnull=not filters.deleted)
    if filters.archived is not None:
        rows = rows.filter(archived=filters.archived)
    if filters.pinned is not None:
        rows = rows.filter(pinned=filters.pinned)
    if filters.assistant_id is not None:
        rows = rows.filter(assistant=filters.assistant_id)
    for name in filters.tags:
        rows = rows.filter(Exists(ConversationTag.objects.filter(conversation=OuterRef("pk"), name=name)))
    for pair in filters.metadata:
        name, _, value = pair.partition(":")
        rows = rows.filter(MetadataIs(name, value))
    return rows


class MetadataIs(Func):
    """Whether a top-level field of the metadata is the string `value`, or the number or boolean that it spells.

    Not Django's key transforms: they take a name that is a number for a position, and some names for look-ups.
    """

    output_field = BooleanField()

    def __init__(self, name: str, value: str) -> None:
        super().__init__(F("metadata"))
        self.name, self.value = name, value

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = compiler.compile(self.source_expressions[0])
        same, more = "type = 'text' AND value = %s", [self.value]
        spelt = spelt_by(self.value)
        if isinstance(spelt, bool):
            same = f"{same} OR type = %s"
            more.append(self.value)
        elif spelt is not None:
            same = f"{same} OR type IN ('integer', 'real') AND value = CAST(%s AS NUMERIC)"
            more.append(self.value)
        found = f"SELECT 1 FROM json_each({column}) WHERE key = %s AND ({same})"  # noqa: S608 (no values in it)
        return f"EXISTS ({found})", (*params, self.name, *more)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        column, _ = compiler.compile(self.source_expressions[0])
        spelt = spelt_by(self.value)
        wanted = [self.value] if spelt is None else [self.value, spelt]
        same = " OR ".join([f"{column} @> %s::jsonb"] * len(wanted))
        return f"({same})", tuple(json.dumps({self.name: value}) for value in wanted)


def spelt_by(text: str) -> bool | int | float | None:
    """The boolean or number that the text is in JSON, if it is one."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None
