"""The transactions of database units that write.

SQLite takes one writer at a time, and has the others look again after 1 to 100 ms, in no order: two busy workers left
half of the machine idle, and one turn in a hundred waited for two seconds. Here a writer waits in the kernel, which
wakes it when the one before it is done, and forgets it when its process dies. PostgreSQL needs none of this.

It is about who waits how, not about what is right: whoever writes without it waits SQLite's way. So do an import and
the commands that take long.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, cached_property
from queue import SimpleQueue
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

    def __init__(self, path: str, like: str = "") -> None:
        """`like`: a file whose owner and permissions that at `path` gets."""
        self._path, self._like = path, like or path
        self._threads = threading.Lock()
        """Held by the thread that waits for the other processes, or is through: `flock` knows processes alone."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Raises OperationalError."""
        patience = settings.DATABASE_TIMEOUT or None
        began = time.monotonic()
        if not self._threads.acquire(timeout=patience or -1):
            raise late()
        try:
            self._wait(patience and max(0.0, patience - (time.monotonic() - began)))
            try:
                yield
            finally:
                self._release()
        finally:
            self._threads.release()

    def _wait(self, seconds: float | None) -> None:
        try:
            if not self._is_free():
                self._wait_behind_others(seconds)
        except OSError as error:
            raise OperationalError(f"{self._path}: {error.strerror}") from error

    def _is_free(self) -> bool:
        """Then it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_behind_others(self, seconds: float | None) -> None:
        """One of them may have been stopped, and nothing ends a wait in the kernel: so another thread does it."""
        turn: Future[None] = Future()
        self._asked.put(turn)
        try:
            turn.result(seconds)
        except TimeoutError:
            if not turn.cancel():
                turn.add_done_callback(lambda _: self._release())  # when it comes after all
            raise late() from None

    @cached_property
    def _asked(self) -> "SimpleQueue[Future[None]]":
        """What that thread is asked for; it begins with the first."""
        asked: SimpleQueue[Future[None]] = SimpleQueue()
        threading.Thread(target=self._wait_in_the_kernel, args=(asked,), name="db-turn", daemon=True).start()
        return asked

    def _wait_in_the_kernel(self, asked: "SimpleQueue[Future[None]]") -> None:
        while True:
            turn = asked.get()
            if turn.set_running_or_notify_cancel():
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX)
                except OSError as error:
                    turn.set_exception(error)
                else:
                    turn.set_result(None)

    def _release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @cached_property
    def _file(self) -> int:
        """Not the database's own file: to close that would take SQLite's locks away."""
        how = os.O_RDONLY | os.O_CLOEXEC
        try:
            return os.open(self._path, how)
        except FileNotFoundError:
            made = os.open(self._path, how | os.O_CREAT, 0o644)
            with suppress(OSError):  # a command of root's may come first, and must not keep the server out
                like = os.stat(self._like)
                os.fchmod(made, like.st_mode & 0o666)
                os.fchown(made, like.st_uid, like.st_gid)
            return made


@cache
def turnstile(database: str) -> Turnstile:
    """Of the SQLite database in this file."""
    return Turnstile(f"{database}-turn", like=database)


def late() -> OperationalError:
    return OperationalError(f"the database is locked for {settings.DATABASE_TIMEOUT} s (DATABASE_TIMEOUT)")
