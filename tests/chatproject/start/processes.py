"""A process that leads others, watched through /proc."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from chatproject.start.preflight import ROOT
from tests.fakes.provider import poll


class Supervised:
    """Runs `command` from the repository root in a process group of its own, as a terminal's foreground job."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._seen: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.children()
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        for pid in (*self.orphans(), *([self.pid] if self._process.poll() is None else [])):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """What it and its children have printed so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 40) -> None:
        """Until it has printed `text`. Raises AssertionError with what it printed instead."""
        poll(lambda: text in self.log() or self._process.poll() is not None, seconds, text)
        assert text in self.log(), self.log()
        self.children()

    def wait(self, seconds: float = 20) -> int:
        """Its exit status."""
        return self._process.wait(seconds)

    def children(self) -> list[int]:
        """Its children's process ids; they and theirs are remembered for `orphans`."""
        direct = _children(self.pid)
        self._seen.update(direct, *(_children(pid) for pid in direct))
        return direct

    def orphans(self) -> list[int]:
        """The processes seen so far that still run."""
        return [pid for pid in self._seen if _runs(pid)]


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
