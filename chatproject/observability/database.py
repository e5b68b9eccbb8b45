"""What Sentry hears of database work: one span for each unit of it, and one for each slow statement in a unit.

The SDK's own hook makes a span and a breadcrumb of every statement, sampled or not. That was a third of what a traced
turn cost, for nine lines that say what `start_turn` says. Outside of units, in the admin and in commands, the SDK's
hook stays: there somebody looks for the query that runs a hundred times.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sentry_sdk
from django.db import Error
from django.db.backends.utils import CursorWrapper
from sentry_sdk.utils import capture_internal_exceptions

SLOW = 0.1
"""Seconds from which on a statement in a unit has a span of its own."""

Execute = Callable[[CursorWrapper, Any, Any], Any]

# Django's own: this module is imported before the SDK starts.
execute: Execute = CursorWrapper.execute
executemany: Execute = CursorWrapper.executemany

_in_unit: ContextVar[bool] = ContextVar("in_unit", default=False)


@contextmanager
def unit(name: str) -> Iterator[None]:
    """The span of a unit of database work, when its request is traced."""
    _in_unit.set(True)
    parent = sentry_sdk.get_current_span()
    if parent is None or not parent.sampled:
        yield
        return
    with capture_internal_exceptions():
        span = sentry_sdk.start_span(op="db", name=name)
        span.__enter__()
    try:
        yield
    except Error:
        with capture_internal_exceptions():
            span.set_status("internal_error")
        raise
    finally:
        # By hand: with `with`, a unit that refuses, such as for a conversation that is not there, were an error.
        with capture_internal_exceptions():
            span.__exit__(None, None, None)


def quieten() -> None:
    """Takes the SDK's hook off the statements in units; to be called once the SDK has started."""
    CursorWrapper.execute = hooked(execute, CursorWrapper.execute)  # type: ignore[assignment,method-assign,unused-ignore]
    CursorWrapper.executemany = hooked(executemany, CursorWrapper.executemany)  # type: ignore[assignment,method-assign,unused-ignore]


def hooked(plain: Execute, sdks: Execute) -> Execute:
    def run(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        if not _in_unit.get():
            return sdks(self, sql, params)
        started = time.time()
        try:
            return plain(self, sql, params)
        except Error:
            with capture_internal_exceptions():
                sentry_sdk.add_breadcrumb(message=str(sql), category="query", level="error")
            raise
        finally:
            if time.time() - started > SLOW:
                tell_slow(str(sql), started)

    return run


def tell_slow(sql: str, started: float) -> None:
    """A span for a statement that has run since `started`, in seconds of the epoch. Its parameters are not told."""
    with capture_internal_exceptions():
        parent = sentry_sdk.get_current_span()
        if parent is not None and parent.sampled:
            parent.start_child(op="db.sql.query", name=sql, start_timestamp=started).finish()
