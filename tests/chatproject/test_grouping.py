"""Units that wait at the same moment are one transaction, and each fails alone."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from chatproject import grouping, writing
from chatproject.grouping import MOST, Groups
from conversations.models import Conversation

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite has one writer at a time"),
]


class Gate:
    """Groups whose thread can be kept busy, so that what is submitted meanwhile waits together."""

    def __init__(self) -> None:
        self._groups = Groups()
        self.submit = self._groups.submit

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keeps it busy, in the `with`."""
        is_busy, goes_on = threading.Event(), threading.Event()
        self.submit(lambda: (is_busy.set(), goes_on.wait(10)))
        assert is_busy.wait(10), "or it would be one of the group"
        try:
            yield
        finally:
            goes_on.set()

    def close(self) -> None:
        self.submit(connections.close_all)
        self._groups.shutdown()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def add(name: str, then: Callable[[], Any] = lambda: None) -> Callable[[], str]:
    """A unit that stores a user; `then` may fail."""

    def unit() -> str:
        with writing.atomic():
            User.objects.create(username=name)
            then()
        return name

    return unit


def fail(error: BaseException) -> Callable[[], None]:
    def raises() -> None:
        raise error

    return raises


def ended(futures: list["Future[Any]"]) -> list[Any]:
    """The result of each, or its error."""
    return [future.exception(10) or future.result() for future in futures]


def names() -> set[str]:
    return set(User.objects.values_list("username", flat=True))


def test_those_that_wait_are_one_transaction(gate: Gate) -> None:
    grouped: list[bool] = []

    def unit() -> None:
        grouped.append(connection.in_atomic_block)

    with gate.closed():
        futures = [gate.submit(unit) for _ in range(MOST + 1)]
    ended(futures)
    assert grouped == [True] * MOST + [False], "and no more than so many; a lone one is no group"


def test_each_is_told_its_own_result_once_it_is_stored(gate: Gate) -> None:
    with gate.closed():
        futures = [gate.submit(add(name)) for name in "abc"]
        assert not any(future.done() for future in futures)
    assert ended(futures) == ["a", "b", "c"]
    assert names() == {"a", "b", "c"}


def test_one_that_fails_takes_back_its_own_alone(gate: Gate) -> None:
    error = LookupError("no such thing")
    with gate.closed():
        futures = [gate.submit(unit) for unit in (add("a"), add("b", fail(error)), add("c"))]
    assert ended(futures) == ["a", error, "c"]
    assert names() == {"a", "c"}


def test_one_that_the_commit_would_refuse_spoils_no_other(gate: Gate) -> None:
    def dangle() -> None:
        with writing.atomic():
            Conversation.objects.create(owner_id=999_999)

    with gate.closed():
        futures = [gate.submit(unit) for unit in (add("a"), dangle, add("b"))]
    first, refused, last = ended(futures)
    assert (first, last) == ("a", "b")
    assert isinstance(refused, IntegrityError)
    assert names() == {"a", "b"}
    assert not Conversation.objects.exists()


def test_after_one_that_failed_the_next_groups_are_ready_for_another(gate: Gate) -> None:
    runs: list[str] = []

    def run(name: str, error: BaseException | None = None) -> Callable[[], str]:
        def then() -> None:
            runs.append(name)
            if error is not None:
                raise error

        return add(name, then)

    def group(*units: Callable[[], str]) -> None:
        with gate.closed():
            futures = [gate.submit(unit) for unit in units]
        ended(futures)

    group(run("a"), run("b"))
    group(run("c"), run("d", LookupError()))
    group(run("e"), run("f", LookupError()))
    assert "".join(runs) == "ab" + "cd" * 2 + "ef"
    assert names() == set("abce")


def test_a_failure_of_the_connections_upkeep_does_not_end_the_thread(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended([gate.submit(add("a"))])
    with monkeypatch.context() as patch:
        patch.setattr(grouping, "close_old_connections", fail(MemoryError("no more")))
        assert [str(error) for error in ended([gate.submit(add("b"))])] == ["no more"]
    assert ended([gate.submit(add("c"))]) == ["c"]


def test_when_sqlite_takes_back_all_of_it_by_itself_the_others_are_stored_nevertheless(gate: Gate) -> None:
    error = OperationalError("string or blob too big")

    def lose() -> None:
        transaction.set_rollback(True)  # as Django does then
        raise error

    with gate.closed():
        futures = [gate.submit(unit) for unit in (add("a"), add("b", lose), add("c"))]
    assert ended(futures) == ["a", error, "c"]
    assert names() == {"a", "c"}


def test_when_no_transaction_can_begin_each_has_an_error_of_its_own_and_nothing_is_stored(gate: Gate) -> None:
    def full(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("BEGIN"):
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    ended([gate.submit(lambda: connection.execute_wrappers.append(full))])
    with gate.closed():
        futures = [gate.submit(add(name)) for name in "abc"]
    errors = ended(futures)
    assert [str(error) for error in errors] == ["database or disk is full"] * 3
    assert len({id(error) for error in errors}) == 3, "or Sentry would drop all but the first"
    assert names() == set()


def test_one_that_was_cancelled_while_it_waited_never_runs(gate: Gate) -> None:
    with gate.closed():
        futures = [gate.submit(add(name)) for name in "abc"]
        assert futures[1].cancel()
    assert ended([futures[0], futures[2]]) == ["a", "c"]
    with pytest.raises(CancelledError):
        futures[1].result(10)
    assert names() == {"a", "c"}


def test_what_comes_after_a_quiet_time_is_served(gate: Gate) -> None:
    for name in "abc":
        assert ended([gate.submit(add(name))]) == [name]
