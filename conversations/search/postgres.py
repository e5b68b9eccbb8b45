"""The index in PostgreSQL: a tsvector that holds our own terms, so that none of its dictionaries is needed."""

from collections.abc import Sequence

from django.db import connection

from conversations.search.documents import Document, Hit, Search
from conversations.search.tables import CONVERSATIONS, DOCUMENTS, MESSAGES
from conversations.search.terms import Clause

MAX_POSITIONS = 255
"""Of one term in a tsvector."""

# Where much of what is the owner's matches, walking that from the newest one on is faster than to collect all of it;
# the planner knows how frequent the words are. It would not with the owner among the terms, who counted twice.
FIND = f"""
    SELECT id, conversation_id, message_id, ts_rank(terms, %s::tsquery, 1) FROM (
        SELECT d.* FROM {DOCUMENTS} d JOIN {CONVERSATIONS} c ON c.id = d.conversation_id
        LEFT JOIN {MESSAGES} m ON m.id = d.message_id
        WHERE d.terms @@ %s::tsquery AND d.id <= %s
        AND (d.message_id IS NULL OR m.id IS NOT NULL AND m.superseded_by IS NULL)
        {{owned}} ORDER BY d.id DESC LIMIT %s
    ) AS found ORDER BY id DESC
"""  # noqa: S608 -- names of our own
OWNED = "AND d.owner_id = %s AND c.owner_id = %s AND c.deleted_at IS NULL"


def insert(documents: Sequence[Document]) -> None:
    rows = [(d.id, d.owner_id, d.conversation_id, d.message_id, tsvector(d)) for d in documents]
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {DOCUMENTS} VALUES (%s, %s, %s, %s, %s::tsvector)", rows)  # noqa: S608


def tsvector(document: Document) -> str:
    """As PostgreSQL writes it: 'term':1,7 'fact'. What is quoted has no quotes in it."""
    positions: dict[str, list[str]] = {fact: [] for fact in document.facts}
    for position, term in enumerate(document.terms, 1):
        found = positions.setdefault(term, [])
        if len(found) < MAX_POSITIONS:
            found.append(str(position))
    return " ".join(f"'{term}':{','.join(found)}" if found else f"'{term}'" for term, found in positions.items())


def find(search: Search) -> list[Hit]:
    words = " & ".join(map(expression, search.query.clauses))
    match = " & ".join([*(f"'{fact}'" for fact in search.facts), words])
    owned, owner = ("", []) if search.owner_id is None else (OWNED, [search.owner_id] * 2)
    with connection.cursor() as cursor:
        cursor.execute(FIND.format(owned=owned), [words, match, search.newest, *owner, search.limit])
        return [
            Hit(id=id_, conversation_id=conversation_id, message_id=message_id, score=score)
            for id_, conversation_id, message_id, score in cursor.fetchall()
        ]


def expression(clause: Clause) -> str:
    row = " <-> ".join(f"'{term}'" for term in clause.terms)
    return f"({row}{':*' if clause.prefix else ''})"
