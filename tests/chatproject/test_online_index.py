"""A migration that adds indexes while the server serves, and is cut short, can be run again."""

import pytest
from django.db import connection, models
from django.db.migrations.state import ProjectState

from chatproject.online_index import AddIndexOnline
from conversations.models import Message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer anyway"),
]

NAME = "made_online"
OPERATION = AddIndexOnline("message", models.Index(fields=["tool_call_id"], name=NAME))


def valid() -> list[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [NAME])
        return [row[0] for row in cursor.fetchall()]


def migrate(*, forwards: bool = True) -> None:
    before = ProjectState.from_apps(Message._meta.apps)  # type: ignore[arg-type]
    after = before.clone()
    OPERATION.state_forwards("conversations", after)
    with connection.schema_editor(atomic=False) as editor:
        if forwards:
            OPERATION.database_forwards("conversations", editor, before, after)
        else:
            OPERATION.database_backwards("conversations", editor, after, before)


def test_an_index_that_is_there_already_stays_and_one_that_was_not_finished_is_made_anew() -> None:
    try:
        migrate()
        migrate()
        assert valid() == [True]
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [NAME])
        assert valid() == [False]
        migrate()
        assert valid() == [True]
    finally:
        migrate(forwards=False)
    assert valid() == []
