"""What is indexed, what is searched for, and what is found. `sqlite` and `postgres` do it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

from django.db import connection

from conversations.search.terms import Query

Facts = tuple[str, ...]
"""What is true of a document: whose words it is, and of which conversation. No term is like one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A message, or a title, whose `message_id` is None."""

    id: int
    """Later ones are newer."""
    owner_id: int
    conversation_id: UUID
    message_id: UUID | None
    facts: Facts
    """And its single characters."""
    terms: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    query: Query
    facts: Facts
    owner_id: int | None
    """Whose documents; None: everybody's, for the admin, and the deleted conversations' too."""
    newest: int
    """The id of the newest document that may be found."""
    limit: int
    """Of all that match, the newest ones that are weighed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    id: int
    conversation_id: UUID
    message_id: UUID | None
    score: float
    """The higher, the better; only those of one search can be compared."""


class Backend(Protocol):
    def insert(self, documents: Sequence[Document]) -> None: ...
    def find(self, search: Search) -> list[Hit]:
        """Newest first."""


def backend() -> Backend:
    from conversations.search import postgres, sqlite

    return cast(Backend, sqlite if connection.vendor == "sqlite" else postgres)


def fact(value: object) -> str:
    return f"_{value}"


def column(id_: UUID | None) -> Any:
    """An id as this database has it in its columns."""
    return id_.hex if id_ is not None and connection.vendor == "sqlite" else id_
