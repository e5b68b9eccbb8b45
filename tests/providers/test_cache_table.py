"""The table of the database cache: there after `migrate`, whatever was there before."""

import pytest
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = "chat_cache"


def migrate(*arguments: str, **options: bool) -> None:
    call_command("migrate", "providers", *arguments, verbosity=0, **options)


def test_the_migration_makes_it_and_takes_it_away() -> None:
    cache = caches.create_connection("default")
    migrate("zero")
    assert TABLE not in connection.introspection.table_names()
    migrate()
    cache.set("key", {"a": 1}, 60)
    assert cache.get("key") == {"a": 1}
    assert cache.add("key", 2, 60) is False


def test_a_table_that_is_there_is_left_as_it_is() -> None:
    """From `createcachetable`, say."""
    cache = caches.create_connection("default")
    cache.set("key", "kept", 60)
    migrate("zero", fake=True)
    migrate()
    assert cache.get("key") == "kept"


def test_nobody_has_to_run_createcachetable(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("createcachetable")
    assert "already exists" in capsys.readouterr().out
