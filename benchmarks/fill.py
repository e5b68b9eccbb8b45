"""Fills a migrated database in bulk, in a process of its own: many conversations, or some that are long.

    DATABASE_URL=... python -m benchmarks.fill conversations 1000000
    DATABASE_URL=... python -m benchmarks.fill messages 10 1000 100000

All are alice's. One row is made by the models and copied by the database itself, with other ids, which tell their
number (`conversation_id`). Titles are put into the search's index, messages are not: benchmarks/search.py has these.
"""

import os
import sys
from collections.abc import Iterator
from uuid import UUID

BASE = 0x018000000000
"""In the ids: milliseconds since 1970, in 2022, so that all of this is older than what a server adds."""

CHUNK = 5_000
TITLE = ("talk", " about number")
"""Of conversation 1234: "talk234 about number1234"."""
SENTENCE = "Paris is the capital of France. "


def conversation_id(number: int) -> UUID:
    """Of the conversation with that number, from 1."""
    return UUID(uuid_hex(number, 1))


def uuid_hex(number: int, kind: int) -> str:
    return f"{BASE + number:012x}7000{0x8000 + kind:04x}{number:012x}"


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
    import django

    django.setup()
    from django.db import connection

    from conversations.search import tables

    what, counts = sys.argv[1], [int(count) for count in sys.argv[2:]]
    with connection.cursor() as cursor:
        tables.drop_triggers(cursor)  # one queue entry for each row would take longer than the rows
    if what == "conversations":
        conversations(counts[0])
        index_titles(counts[0])
    else:
        for number, count in enumerate(counts, 1):
            long_conversation(number, count)
    tables.create_triggers()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # as autovacuum would by and by; nothing does on SQLite
            cursor.execute("VACUUM ANALYZE")


def conversations(count: int) -> None:
    """With a question and an answer each."""
    from conversations.models import Conversation, Message

    pattern = template()
    copies(
        Conversation, pattern.pk, count, id=uuid_sql("i", 1), title=f"'{TITLE[0]}' || (i % 1000) || '{TITLE[1]}' || i"
    )
    for kind, role in ((2, "user"), (3, "assistant")):
        message = Message.objects.create(conversation=pattern, role=role, content=SENTENCE * 2)
        copies(Message, message.pk, count, id=uuid_sql("i", kind), conversation_id=uuid_sql("i", 1))
    pattern.delete()


def long_conversation(number: int, count: int) -> None:
    """The conversation of this number, with `count` messages of 350 characters."""
    from conversations.models import Conversation, Message

    pattern = template()
    copies(Conversation, pattern.pk, 1, id=f"'{uuid_hex(number, 1)}'", message_count=str(count))
    message = Message.objects.create(conversation=pattern, role="user", content=SENTENCE * 11)
    role = "CASE WHEN i % 2 = 1 THEN 'user' ELSE 'assistant' END"
    copies(Message, message.pk, count, id=uuid_sql("i", number), conversation_id=f"'{uuid_hex(number, 1)}'", role=role)
    pattern.delete()


def template() -> "Conversation":  # noqa: F821 -- models can be imported after the set-up only
    from django.contrib.auth.models import User

    from conversations.models import Conversation

    owner = User.objects.get(username="alice")
    return Conversation.objects.create(owner=owner, provider="fake", model="m", message_count=2)


def copies(model: type, pk: UUID, count: int, **columns: str) -> None:
    """Copies a row `count` times; `columns` are SQL for those that differ, with `i` counting from 1."""
    from django.db import connection

    names = [field.column for field in model._meta.concrete_fields]  # type: ignore[attr-defined]
    typed = "::uuid" if connection.vendor == "postgresql" else ""
    values = [
        f"({columns[name]}){typed if name in ('id', 'conversation_id') else ''}" if name in columns else f"t.{name}"
        for name in names
    ]
    table = model._meta.db_table  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)})"
            f" WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
            f" SELECT {', '.join(values)} FROM n, {table} t WHERE t.id = '{pk.hex}'"
        )


def uuid_sql(number: str, kind: int) -> str:
    """What `uuid_hex` does, as SQL."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"printf('%012x7000{0x8000 + kind:04x}%012x', {BASE} + {number}, {number})"
    first, last = (f"lpad(to_hex({value}), 12, '0')" for value in (f"{BASE} + {number}", f"{number}::bigint"))
    return f"{first} || '7000{0x8000 + kind:04x}' || {last}"


def index_titles(count: int) -> None:
    from django.contrib.auth.models import User
    from django.db import transaction

    from conversations.search.documents import Document, backend, fact

    owner_id = User.objects.get(username="alice").pk

    def documents(first: int) -> Iterator[Document]:
        for number in range(first, min(first + CHUNK, count + 1)):
            id_ = conversation_id(number)
            terms = [f"{TITLE[0]}{number % 1000}", "about", f"number{number}"]
            facts = (fact("title"), fact(id_.hex))  # as indexing.py makes them for a title
            yield Document(id=number, owner_id=owner_id, conversation_id=id_, message_id=None, facts=facts, terms=terms)

    for first in range(1, count + 1, CHUNK):
        with transaction.atomic():
            backend().insert(list(documents(first)))


if __name__ == "__main__":
    main()
