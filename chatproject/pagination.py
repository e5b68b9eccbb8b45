"""Cursor pagination over UUIDv7 ids, which sort by time: a page stays the same however much is inserted.

The cursor is the last id of a page, in URL-safe base64; opaque to callers.
"""

import base64
import binascii
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from chatproject.problems import Problem

M = TypeVar("M", bound=Model)


def page(rows: QuerySet[M], *, limit: int, cursor: str | None, newest_first: bool) -> tuple[list[M], str | None]:
    """At most `limit` rows after `cursor`, and the cursor of the next page, None on the last one.

    Raises Problem `invalid_cursor`.
    """
    if cursor is not None:
        bound: dict[str, Any] = {"pk__lt" if newest_first else "pk__gt": decode(cursor)}
        rows = rows.filter(**bound)
    found = list(rows.order_by("-pk" if newest_first else "pk")[: limit + 1])
    more = len(found) > limit
    return found[:limit], encode(found[limit - 1].pk) if more else None


def encode(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def decode(cursor: str) -> UUID:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if cursor.isascii() else b""
        if encode(last := UUID(bytes=raw)) == cursor:
            return last
    except (binascii.Error, ValueError):
        pass
    raise Problem("invalid_cursor", "Pass the next_cursor of the page before, unchanged, or leave cursor out.")
