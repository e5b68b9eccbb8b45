"""Database units: run in the pool, and never left behind by a caller who is cancelled."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from chatproject import db


@pytest.fixture(autouse=True, scope="module")
def _pool() -> Iterator[None]:
    """Ends the pool with the module: PostgreSQL drops no database that has connections."""
    yield
    everyone = threading.Barrier(settings.DATABASE_THREADS)

    def close() -> None:
        everyone.wait(10)  # so that each thread gets one of these
        connection.close()

    pool = db._pool()
    for _ in range(settings.DATABASE_THREADS):
        pool.submit(close)
    pool.shutdown()
    db._pool.cache_clear()


@pytest.mark.django_db(transaction=True)
def test_it_returns_what_the_unit_returns() -> None:
    def unit(name: str) -> str:
        User.objects.create(username=name)
        return threading.current_thread().name

    assert asyncio.run(db.run(unit, "someone")).startswith("db")
    assert User.objects.filter(username="someone").exists()


@pytest.mark.django_db(transaction=True)
def test_it_raises_what_the_unit_raises() -> None:
    def unit() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        asyncio.run(db.run(unit))


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_caller_waits_for_the_units_end() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def unit() -> None:
        begun.set()
        assert goes_on.wait(10)
        ended.append("unit")

    async def caller() -> None:
        try:
            await db.run(unit)
        finally:
            ended.append("caller")

    async def cancel() -> None:
        task = asyncio.create_task(caller())
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        task.cancel()  # impatience changes nothing
        await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended == ["unit", "caller"]


@pytest.mark.django_db(transaction=True)
def test_no_more_connections_than_threads() -> None:
    """As many units at once as there like to be: they share the pool's connections."""
    seen: set[int] = set()

    def unit() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        seen.add(id(connection.connection))

    async def crowd() -> None:
        await asyncio.gather(*(db.run(unit) for _ in range(200)))

    asyncio.run(crowd())
    assert 1 <= len(seen) <= settings.DATABASE_THREADS


@pytest.mark.django_db(transaction=True)
def test_a_unit_that_gets_no_thread_in_time_is_given_up_and_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_TIMEOUT", 1)
    goes_on = threading.Event()
    ran: list[str] = []

    def wait() -> None:
        assert goes_on.wait(10)

    async def crowd() -> None:
        waiting = [asyncio.create_task(db.run(wait)) for _ in range(settings.DATABASE_THREADS)]
        await asyncio.sleep(0)  # they take all the threads
        with pytest.raises(OperationalError, match="DATABASE_TIMEOUT"):
            await db.run(ran.append, "late")
        goes_on.set()
        await asyncio.gather(*waiting)

    asyncio.run(crowd())
    assert asyncio.run(db.run(lambda: "next")) == "next"
    assert ran == []
