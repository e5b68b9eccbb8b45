"""Database units that are committed together, on SQLite.

A commit takes SQLite longer than what is committed: it writes each page that was touched, and the turns of one moment
touch the same ones. So while one group of units is under way, the others that come wait for each other, and are the
next group: one transaction. When one of them fails they are run again, each with a savepoint of its own, so that it
takes back what it did and nothing else. A lone unit is no group, and runs as everywhere.

A unit's `writing.atomic()` is its savepoint, so it has to have one. It has to be short, since others wait for its end,
and to bear being run again when what it did was taken back.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import Any, NamedTuple, TypeVar

from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    InternalError,
    OperationalError,
    close_old_connections,
    connections,
)

from chatproject import writing
from chatproject.observability.database import leave_this_thread_out

logger = logging.getLogger(__name__)

T = TypeVar("T")

AWAY = (OperationalError, InterfaceError, InternalError)
"""What the database raises when it is not there; InternalError when it has become a read-only replica."""

MOST = 16
"""Units of a group. The writers of other processes wait for its end, which comes after a few milliseconds."""


CAREFUL = 20
"""Groups, after one in which a unit failed: there may be more to come that are refused, by a key's limit say."""


class Unit(NamedTuple):
    call: Callable[[], Any]
    ended: "Future[Any]"


class Outcome(NamedTuple):
    result: Any = None
    error: BaseException | None = None


class TakenBack(Exception):
    """A unit has taken back those before it as well."""


class Groups:
    """Those of one process, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="db-turns", initializer=leave_this_thread_out)
        self._lock = threading.Lock()
        self._waiting: deque[Unit] = deque()
        self._busy = False
        self._careful = 0
        """For so many groups each unit has a savepoint."""

    def submit(self, call: Callable[[], Any]) -> "Future[Any]":
        """Like an executor's. The future has its result, or its error, once it is committed."""
        unit = Unit(call, Future())
        with self._lock:
            if not self._busy:
                self._thread.submit(self._work)
                self._busy = True
            self._waiting.append(unit)
        return unit.ended

    def shutdown(self) -> None:
        self._thread.shutdown()

    def _work(self) -> None:
        while group := self._next():
            self._carry_out([unit for unit in group if unit.ended.set_running_or_notify_cancel()])

    def _next(self) -> list[Unit]:
        """The next group; none, when nobody waits."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))]
            self._busy = bool(group)
        return group

    def _carry_out(self, units: Sequence[Unit]) -> None:
        """Runs them, and tells each what has become of it. Raises nothing: those to come wait for this thread."""
        try:
            outcomes = with_its_connection(partial(self._together, units))
        except BaseException as error:  # of the connection's upkeep
            outcomes = each_its_own(error, units)
        for unit, outcome in zip(units, outcomes, strict=True):
            if outcome.error is not None:
                unit.ended.set_exception(outcome.error)
            else:
                unit.ended.set_result(outcome.result)

    def _together(self, units: Sequence[Unit]) -> list[Outcome]:
        """The outcome of each, of several in one transaction."""
        if len(units) > 1:
            try:
                return self._in_one_transaction(units)
            except AWAY as error:
                return each_its_own(error, units)
            except Exception:
                # SQLite looks at the keys between tables when it commits: one of the units has to go by itself.
                logger.info("a group of %d units was refused: they run one by one", len(units))
        return [outcome_of(unit) for unit in units]

    def _in_one_transaction(self, units: Sequence[Unit]) -> list[Outcome]:
        """Without savepoints, if it can be: with their two statements a unit took a fifth longer."""
        if self._careful:
            self._careful -= 1
        else:
            try:
                with writing.atomic_as_one():
                    return [in_transaction(unit) for unit in units]
            except TakenBack:
                self._careful = CAREFUL
        with writing.atomic():
            return [in_transaction(unit) for unit in units]


def in_transaction(unit: Unit) -> Outcome:
    """Raises TakenBack."""
    outcome = outcome_of(unit)
    if connections[DEFAULT_DB_ALIAS].needs_rollback:
        raise TakenBack from outcome.error
    return outcome


def each_its_own(error: BaseException, units: Sequence[Unit]) -> list[Outcome]:
    """For Sentry takes the same exception a second time for the same event."""
    return [Outcome(error=copy(error).with_traceback(error.__traceback__)) for _ in units]


def with_its_connection(work: Callable[[], T]) -> T:
    """Django looks after connections around requests; threads of ours have none."""
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()


def outcome_of(unit: Unit) -> Outcome:
    try:
        return Outcome(result=unit.call())
    except BaseException as error:  # its caller's, who waits for it
        return Outcome(error=error)
