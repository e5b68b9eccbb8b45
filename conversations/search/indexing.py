"""Works off the queue of what has to be indexed. Database units; live.py runs `index_for` about every second.

So a message can be found a second or two after its turn has ended, and the turn does not pay for it: its transactions
are not the ones that change the index. One worker at a time does it, whichever comes first.
"""

import time
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model
from django.db.models.functions import Substr

from chatproject import writing
from conversations.models import Conversation, Message
from conversations.search.documents import Document, backend, column, fact
from conversations.search.tables import BACKLOG, DOCUMENTS, FRESH, QUEUE
from conversations.search.terms import MAX_CHARS, indexed

BATCH = 100
"""Entries of the queue that are read at once."""

BATCH_CHARS = 200_000
"""Characters after which a batch ends: about 50 ms, for which others may have to wait before they can write."""

LOCK = 0x5EA2C4
"""Of PostgreSQL's advisory locks: who changes the index holds it."""


class Entry(NamedTuple):
    id: int
    conversation_id: UUID
    message_id: UUID | None
    """None: its title."""


class Text(NamedTuple):
    owner_id: int
    role: str
    text: str


GONE = Text(0, "", "")


def index_for(seconds: float, wait: bool = False) -> int:
    """Indexes what is queued until there is no more or the time is over; returns how many entries that were.

    Without `wait`, it leaves the rest to whoever else is at it.
    """
    end = time.monotonic() + seconds
    done = 0
    while batch := index_batch(wait):
        done += batch
        if time.monotonic() > end:
            break
    return done


def index_batch(wait: bool = False) -> int:
    """Returns how many entries it took off the queue; 0 also when somebody else is at it and it is not to wait."""
    if not waiting():
        return 0
    with writing.atomic():
        if not lock(wait):
            return 0
        texts = within_budget(read(take()))
        store(texts)
        delete(QUEUE, "id", [entry.id for entry in texts])
    return len(texts)


def waiting() -> bool:
    """Whether anything is queued. By itself, since a transaction would wait for SQLite's one writer."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {QUEUE} LIMIT 1")  # noqa: S608 -- names of our own, as below
        return cursor.fetchone() is not None


def lock(wait: bool) -> bool:
    """Whether nobody else changes the index until the transaction ends. SQLite has one writer anyway."""
    if connection.vendor == "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_{'' if wait else 'try_'}advisory_xact_lock(%s)", [LOCK])
        return wait or bool(cursor.fetchone()[0])


def take() -> list[Entry]:
    """The oldest entries; those of a backlog only when there are no others."""
    rows: list[tuple[int, Any, Any]] = []
    with connection.cursor() as cursor:
        for which in (f"id >= {FRESH}", f"id < {FRESH}"):
            if not rows:
                columns = "id, conversation_id, message_id"
                cursor.execute(f"SELECT {columns} FROM {QUEUE} WHERE {which} ORDER BY id LIMIT {BATCH}")  # noqa: S608
                rows = cursor.fetchall()
    return [Entry(id_, uuid(conversation), message and uuid(message)) for id_, conversation, message in rows]


def uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def read(entries: list[Entry]) -> dict[Entry, Text]:
    """What the entries are about, in their order; without those that a deletion has locked, which are for later."""
    ids = {entry.message_id for entry in entries if entry.message_id}
    messages = rows_of(Message, ids, "content", "conversation__owner", "role")
    ids = {entry.conversation_id for entry in entries if not entry.message_id}
    titles = rows_of(Conversation, ids, "title", "owner")
    found = {
        entry: messages.get(entry.message_id, GONE) if entry.message_id else titles.get(entry.conversation_id, GONE)
        for entry in entries
    }
    return {entry: text for entry, text in found.items() if text is not None}


def rows_of(model: type[Model], ids: set[UUID], field: str, *others: str) -> dict[UUID, Text | None]:
    """The texts with these ids; None for one that is locked. `others` are the columns of the owner and the role.

    They are locked against a deletion: one that has looked for their documents before these were there would leave
    them there for ever.
    """
    rows = model._default_manager.filter(pk__in=ids)
    found: dict[UUID, Text | None] = {}
    free = rows
    if connection.features.has_select_for_update:
        found = dict.fromkeys(rows.values_list("pk", flat=True))
        free = rows.select_for_update(of=("self",), skip_locked=True, no_key=True)
    for pk, text, owner, *role in free.annotate(text=Substr(field, 1, MAX_CHARS)).values_list("pk", "text", *others):
        found[pk] = Text(owner, role[0] if role else "title", text)
    return found


def within_budget(texts: dict[Entry, Text]) -> dict[Entry, Text]:
    """The first of them, at least one."""
    left = BATCH_CHARS
    kept: dict[Entry, Text] = {}
    for entry, text in texts.items():
        if left <= 0:
            break
        left -= len(text.text)
        kept[entry] = text
    return kept


def store(texts: dict[Entry, Text]) -> None:
    """Indexes the texts, in the place of what is there of them."""
    delete(DOCUMENTS, "message_id", [column(e.message_id) for e in texts if e.message_id])
    titles = [column(e.conversation_id) for e in texts if not e.message_id]
    delete(DOCUMENTS, "message_id IS NULL AND conversation_id", titles)
    latest = {(entry.conversation_id, entry.message_id): entry for entry in texts}
    documents = [document(entry, texts[entry]) for entry in latest.values()]
    backend().insert(sorted((d for d in documents if d.terms), key=lambda d: d.id))


def document(entry: Entry, text: Text) -> Document:
    terms, characters = indexed(text.text)
    return Document(
        id=entry.id,
        owner_id=text.owner_id,
        conversation_id=entry.conversation_id,
        message_id=entry.message_id,
        facts=(fact(text.role), fact(entry.conversation_id.hex), *sorted(characters)),
        terms=terms,
    )


def delete(table: str, which: str, values: list[Any]) -> None:
    if values:
        with connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(values))
            cursor.execute(f"DELETE FROM {table} WHERE {which} IN ({places})", values)  # noqa: S608


@transaction.atomic
def start_over() -> None:
    """Empties the index and queues all that belongs into it."""
    lock(wait=True)  # whoever has read the queue is through with it
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {QUEUE}")  # noqa: S608
        cursor.execute(f"DELETE FROM {DOCUMENTS}")  # noqa: S608
        cursor.execute(BACKLOG)
