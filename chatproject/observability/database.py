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

OUTSIDE = object()
_unit: ContextVar[Any] = ContextVar("unit", default=OUTSIDE)
"""The span of the unit, None in a unit of an untraced request."""


@contextmanager
def unit(name: str) -> Iterator[None]:
    """The span of a unit of database work, when its request is traced."""
    parent = sentry_sdk.get_current_span()
    # Not entered: that costs a fork of the scope, and nothing in a unit asks which span is the active one. Nor would
    # it be right to let `with` say how the unit ended: one that refuses, an unknown conversation say, has not failed.
    span: Any = None
    with capture_internal_exceptions():
        if parent is not None and parent.sampled:
            span = parent.start_child(op="db", name=name)
    _unit.set(span)
    try:
        yield
    except Error:
        with capture_internal_exceptions():
            if span is not None:
                span.set_status("internal_error")
        raise
    finally:
        with capture_internal_exceptions():
            if span is not None:
                span.finish()


def leave_this_thread_out() -> None:
    """Tells nothing of what this thread does outside of units: it is done for several requests at once."""
    _unit.set(None)


def quieten() -> None:
    """Takes the SDK's hook off the statements in units; to be called once the SDK has started."""
    CursorWrapper.execute = hooked(execute, CursorWrapper.execute)  # type: ignore[assignment,method-assign,unused-ignore]
    CursorWrapper.executemany = hooked(executemany, CursorWrapper.executemany)  # type: ignore[assignment,method-assign,unused-ignore]


def hooked(plain: Execute, sdks: Execute) -> Execute:
    def run(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        if (unit := _unit.get()) is OUTSIDE:
            return sdks(self, sql, params)
        started = time.time()
        try:
            return plain(self, sql, params)
        except Error:
            with capture_internal_exceptions():
                sentry_sdk.add_breadcrumb(message=str(sql), category="query", level="error")
            raise
        finally:
            if unit is not None and time.time() - started > SLOW:
                with capture_internal_exceptions():  # its parameters are not told
                    span = unit.start_child(op="db.sql.query", name=str(sql), start_timestamp=started)
                    span.finish(end_timestamp=time.time())  # by itself, it would time from its construction

    return run
