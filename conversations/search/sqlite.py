"""The index in SQLite's FTS5.

FTS5 could weigh by itself, but its bm25() reads all that the index has of each term, everybody's. Here the newest
matches alone are weighed, in the same way but for the frequency of the terms.
"""

from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from conversations.search.documents import Document, Hit, Search, column, fact
from conversations.search.tables import CONVERSATIONS, DOCUMENTS, MESSAGES, TERMS
from conversations.search.terms import Clause

WEIGHED = 5_000
"""Characters of a document that it is weighed by."""

USUAL = 500
"""Characters of a usual document."""

# CROSS: it has to begin with the terms, whatever the planner thinks of that.
FIND = f"""
    SELECT d.id, d.conversation_id, d.message_id FROM {TERMS} CROSS JOIN {DOCUMENTS} d CROSS JOIN {CONVERSATIONS} c
    LEFT JOIN {MESSAGES} m ON m.id = d.message_id
    WHERE {TERMS} MATCH %s AND {TERMS}.rowid <= %s AND d.id = {TERMS}.rowid AND c.id = d.conversation_id
    AND (d.message_id IS NULL OR m.id IS NOT NULL AND m.superseded_by IS NULL)
    AND (%s IS NULL OR c.owner_id = %s AND c.deleted_at IS NULL)
    ORDER BY {TERMS}.rowid DESC LIMIT %s
"""  # noqa: S608 -- names of our own


def insert(documents: Sequence[Document]) -> None:
    rows = [(d.id, d.owner_id, column(d.conversation_id), column(d.message_id)) for d in documents]
    terms = [(d.id, " ".join((of_owner(d.owner_id), *d.facts)), " ".join(d.terms)) for d in documents]
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {DOCUMENTS} VALUES (%s, %s, %s, %s)", rows)  # noqa: S608
        cursor.executemany(f"INSERT INTO {TERMS} (rowid, facts, terms) VALUES (%s, %s, %s)", terms)  # noqa: S608


def find(search: Search) -> list[Hit]:
    with connection.cursor() as cursor:
        owner = search.owner_id
        cursor.execute(FIND, [match(search), search.newest, owner, owner, search.limit])
        found = cursor.fetchall()
        ids = ",".join(str(row[0]) for row in found)
        cursor.execute(f"SELECT rowid, substr(terms, 1, {WEIGHED}) FROM {TERMS} WHERE rowid IN ({ids})")  # noqa: S608
        texts = dict(cursor.fetchall())
    patterns = [pattern(clause) for clause in search.query.clauses]
    return [
        Hit(
            id=id_,
            conversation_id=UUID(conversation_id),
            message_id=UUID(message_id) if message_id else None,
            score=weight(f" {texts.get(id_, '')} ", patterns),
        )
        for id_, conversation_id, message_id in found
    ]


def of_owner(owner_id: int) -> str:
    """A fact too: FTS5 can only begin with what is in it."""
    return fact(f"u{owner_id}")


def match(search: Search) -> str:
    """In FTS5's query language. What is quoted are terms, which have no quotes in them."""
    owner = () if search.owner_id is None else (of_owner(search.owner_id),)
    facts = [f'facts : "{fact}"' for fact in (*owner, *search.facts)]
    return " AND ".join([*facts, *map(expression, search.query.clauses)])


def expression(clause: Clause) -> str:
    if clause.anywhere:
        return f'facts : "{clause.terms[0]}"'
    return f'terms : "{" ".join(clause.terms)}"{" *" if clause.prefix else ""}'


def pattern(clause: Clause) -> str:
    """What the clause looks like among a document's terms."""
    if clause.anywhere:
        return f" {clause.terms[0]}"
    return f" {' '.join(clause.terms)}{'' if clause.prefix else ' '}"


def weight(terms: str, patterns: list[str]) -> float:
    """From 0 to 1: the more often each clause is there, and the shorter the document, the better. BM25 but for the
    frequencies, with its usual constants."""
    length = 1.2 * (0.25 + 0.75 * len(terms) / USUAL)
    counts = map(terms.count, patterns)
    return sum(count / (count + length) for count in counts) / len(patterns)
