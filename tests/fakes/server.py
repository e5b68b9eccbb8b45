"""The server as its users run it: gunicorn in a process of its own, from the repository root."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.client import Client
from tests.fakes.database import ROOT, Database
from tests.fakes.waiting import poll

LISTENING = re.compile(r"Listening at: (http://\S+:\d+)")
READY = re.compile(r"ASGI server listening")


class Server:
    """Runs from `with` to its end; meanwhile it can be stopped and started again on the same database."""

    def __init__(self, database: Database, keys: dict[str, str], **environment: str) -> None:
        """`environment` is added to the tests' own; `keys` are the users' API keys by user name."""
        self.db = database
        self.url = ""
        self._keys = keys
        self._environment = environment
        self._clients: list[Client] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="chat-server-", suffix=".log")  # noqa: SIM115 (stop closes it)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts gunicorn on a free port and waits until it answers. Raises AssertionError with its output."""
        env = {
            **os.environ,
            "DATABASE_URL": self.db.url,
            "PORT": "0",
            "WEB_CONCURRENCY": "1",
            **self._environment,
        }
        start = self._log.seek(0, os.SEEK_END)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"], cwd=ROOT, env=env, stdout=self._log, stderr=subprocess.STDOUT
        )
        process = self._process
        poll(lambda: READY.search(self.log()[start:]) or process.poll() is not None, 30, "server")
        found = LISTENING.search(self.log()[start:])
        assert found, self.log()
        assert process.poll() is None, self.log()
        self.url = found[1]

    def neighbour(self, **environment: str) -> "Server":
        """Another server on the same database, as on another node; to be entered."""
        return Server(self.db, self._keys, **{**self._environment, **environment})

    def client(self, user: str | None = "alice") -> Client:
        """A client with the key of `user`, or without one."""
        return self.client_with(self._keys[user] if user else None)

    def client_with(self, key: str | None) -> Client:
        self._clients.append(Client(self.url, key))
        return self._clients[-1]

    def log(self) -> str:
        """What it has printed so far."""
        return Path(self._log.name).read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Of the master process."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 15) -> int:
        """Waits for the end of the process and returns its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def terminate(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """kill -9, of the master and the workers, as when the machine dies."""
        pids = (self.pid, *self.workers())  # the master first, lest it starts new workers
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.wait()
        poll(lambda: not any(map(runs, pids)), 10, "end")

    def kill_worker(self, pid: int) -> None:
        """kill -9 of one worker, as when memory runs out."""
        assert pid in self.workers()
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """The end of the test: of the processes, without ceremony, and of all that the test has opened on them."""
        for client in self._clients:
            client.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()


def runs(pid: int) -> bool:
    """Whether the process still has its connections; a dead one may stay as a zombie, without any."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
