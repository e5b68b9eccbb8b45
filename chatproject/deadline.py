"""How long a unit of database work may wait for a thread, and then take: DATABASE_TIMEOUT each.

PostgreSQL ends a slow statement itself when it is told to. But one that is stopped, or whose disk hangs, ends nothing
while its kernel keeps the connection up, so that our thread would wait for ever: then the connection is cut here.
SQLite has a time-out of its own for the one thing that it waits for, a lock.
"""

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.signals import connection_created
from django.dispatch import receiver

GRACE = 1.0
"""Seconds more until the connection is cut: PostgreSQL's own end of the statement says what was the matter."""

State = Enum("State", "WAITING RUNNING ENDED EXPIRED")
_thread = threading.local()


def limit_this_thread() -> None:
    """Limits the statements of this thread's connections. Not those of commands: a migration may take its time."""
    _thread.limited = True


@receiver(connection_created)
def limit_statements(connection: Any, **kwargs: Any) -> None:
    """With SET: PgBouncer refuses a connection whose start-up packet has such options."""
    milliseconds = settings.DATABASE_TIMEOUT * 1000
    if milliseconds and connection.vendor == "postgresql" and getattr(_thread, "limited", False):
        with connection.cursor() as cursor:
            # The lock's limit is lower, so that the error tells what was waited for.
            cursor.execute(f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds // 2}")


class Deadline:
    """Watches over one unit, in the event loop; `started` and `ended` are called by the unit's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State.WAITING
        self._since = 0.0
        self._connection: Any = None
        self._alarm: asyncio.TimerHandle | None = None

    def started(self) -> None:
        """Raises OperationalError when the caller has been told already that this is too late."""
        with self._lock:
            if self._state is State.EXPIRED:
                raise self.error()
            self._state, self._since = State.RUNNING, time.monotonic()
            self._connection = connections[DEFAULT_DB_ALIAS]

    def ended(self) -> None:
        with self._lock:
            self._state = State.ENDED

    def watch(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Cancels `future` when its unit does not start in time; cuts the connection when it does not end."""
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._expire, future)

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    @staticmethod
    def error() -> OperationalError:
        return OperationalError(f"no database connection was free for {settings.DATABASE_TIMEOUT} s (DATABASE_TIMEOUT)")

    def _expire(self, future: asyncio.Future[Any]) -> None:
        with self._lock:
            if self._state is State.WAITING:
                self._state = State.EXPIRED
                future.cancel()
            elif self._state is State.RUNNING:
                left = self._since + settings.DATABASE_TIMEOUT + GRACE - time.monotonic()
                if left <= 0:
                    cut(self._connection)
                    left = settings.DATABASE_TIMEOUT  # should it connect again, and wait again
                self.watch(future, left)


def cut(connection: Any) -> None:
    """Ends the connection to PostgreSQL as its server would: whoever waits for it gets an OperationalError."""
    if connection.vendor == "postgresql":
        # It may have none just now, while it tries to connect.
        with suppress(Exception), socket.socket(fileno=os.dup(connection.connection.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)
