"""Database work from async code.

Django's `sync_to_async` gives each live stream a connection of its own: 200 streams exhaust PostgreSQL. Here a
unit of work is a plain synchronous function that runs in a small pool of threads, each with one connection.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings

from chatproject.deadline import Deadline, limit_this_thread
from chatproject.grouping import AWAY as AWAY
from chatproject.grouping import Groups, with_its_connection
from chatproject.observability import database

P = ParamSpec("P")
T = TypeVar("T")
Submit = Callable[[Callable[[], Any]], "Future[Any]"]


async def run(unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `unit` in the pool and returns its result or raises its error.

    A cancelled caller waits for the unit's end before the cancellation goes on: a unit left alone would commit
    behind the back of whoever cleans up. The unit's own error is then the cancellation's cause. Raises
    OperationalError when the database keeps it longer than DATABASE_TIMEOUT, see deadline.py.
    """
    return await _run(_pool().submit, unit.__name__, partial(with_its_connection, partial(unit, *args, **kwargs)))


async def run_together(unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for a short unit that many callers have at once: SQLite commits those that wait together, see
    grouping.py. For PostgreSQL, which has many writers, it is `run`.
    """
    if not settings.ON_SQLITE:  # `connection.vendor` would make a connection object for each request
        return await run(unit, *args, **kwargs)
    return await _run(_groups().submit, unit.__name__, partial(unit, *args, **kwargs))


async def _run(submit: Submit, name: str, work: Callable[[], T]) -> T:
    deadline = Deadline()
    call = partial(contextvars.copy_context().run, _unit, name, work, deadline)
    future: asyncio.Future[T] = asyncio.wrap_future(submit(call))
    if settings.DATABASE_TIMEOUT:
        deadline.watch(future, settings.DATABASE_TIMEOUT)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError as error:
                if not future.cancelled():
                    cancelled = error
            except Exception:  # the unit's own, raised by result() below
                break
    finally:
        deadline.close()
    if future.cancelled():
        raise cancelled or deadline.error()
    if cancelled is not None:
        raise cancelled from future.exception()
    return future.result()


def _unit(name: str, work: Callable[[], T], deadline: Deadline) -> T:
    deadline.started()
    try:
        with database.unit(name):
            return work()
    finally:
        deadline.ended()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="db", initializer=limit_this_thread)


@cache
def _groups() -> Groups:
    return Groups()
