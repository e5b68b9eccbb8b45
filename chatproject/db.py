"""Database work from async code.

Django's `sync_to_async` gives each live stream a connection of its own: 200 streams exhaust PostgreSQL. Here a
unit of work is a plain synchronous function that runs in a small pool of threads, each with one connection.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError, close_old_connections

from chatproject.deadline import Deadline, limit_this_thread
from chatproject.observability import database

AWAY = (OperationalError, InterfaceError, InternalError)
"""What the database raises when it is not there; InternalError when it has become a read-only replica."""

P = ParamSpec("P")
T = TypeVar("T")


async def run(unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `unit` in the pool and returns its result or raises its error.

    A cancelled caller waits for the unit's end before the cancellation goes on: a unit left alone would commit
    behind the back of whoever cleans up. The unit's own error is then the cancellation's cause. Raises
    OperationalError when the database keeps it longer than DATABASE_TIMEOUT, see deadline.py.
    """
    deadline = Deadline()
    call = partial(contextvars.copy_context().run, _unit, unit.__name__, partial(unit, *args, **kwargs), deadline)
    future = asyncio.get_running_loop().run_in_executor(_pool(), call)
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
            close_old_connections()
            try:
                return work()
            finally:
                close_old_connections()
    finally:
        deadline.ended()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="db", initializer=limit_this_thread)
