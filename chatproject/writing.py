"""The transactions of database units that write.

SQLite takes one writer at a time, and has the others look again after 1 to 100 ms, in no order: two busy workers left
half of the machine idle, and one turn in a hundred waited for two seconds. Here a writer waits in the kernel, which
wakes it when the one before it is done, and forgets it when its process dies. PostgreSQL needs none of this.

It is about who waits how, not about what is right: whoever writes without it waits SQLite's way. So do an import and
the commands, which take long: nobody who waits in the kernel can give up before they are done.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction


@contextmanager
def atomic() -> Iterator[None]:
    """transaction.atomic(), in turn. Raises OperationalError when that comes later than after DATABASE_TIMEOUT."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    # In a transaction it has had its turn, and another that waits for it would wait for itself.
    at_once = database.vendor != "sqlite" or database.in_atomic_block or database.is_in_memory_db()
    turn = nullcontext() if at_once else turnstile(str(database.settings_dict["NAME"])).turn()
    with turn, transaction.atomic(savepoint=not _thread.as_one):
        yield


@contextmanager
def atomic_as_one() -> Iterator[None]:
    """The same, in which no other has a savepoint: the first of them that fails takes all of it back."""
    with atomic():
        _thread.as_one = True
        try:
            yield
        finally:
            _thread.as_one = False


class _Thread(threading.local):
    as_one = False


_thread = _Thread()


class Turnstile:
    """One for each process. Lets one thread of one of them through."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        """Held by the thread that waits for the other processes, or is through: `flock` knows processes alone."""

    @cached_property
    def _file(self) -> int:
        """Not the database's own file: to close that would take SQLite's locks away."""
        return os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises OperationalError."""
        patience = settings.DATABASE_TIMEOUT
        began = time.monotonic()
        if not self._threads.acquire(timeout=patience or -1):
            raise late()
        try:
            self._wait()
            try:
                # There is no other end to this wait than that of whoever is through; those behind fail at once then.
                if patience and time.monotonic() - began > patience:
                    raise late()
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def _wait(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise OperationalError(f"{self._path}: {error.strerror}") from error


@cache
def turnstile(database: str) -> Turnstile:
    """Of the SQLite database in this file."""
    return Turnstile(f"{database}-turn")


def late() -> OperationalError:
    return OperationalError(f"the database is locked for {settings.DATABASE_TIMEOUT} s (DATABASE_TIMEOUT)")
