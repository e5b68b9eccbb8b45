"""Processes that are measured: started, waited for, weighed, ended. Linux only, for /proc."""

import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 300
"""How long a process may take until it answers; LiteLLM takes 10 on an idle machine, 90 on a busy one."""

INHERITED = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
"""Nothing else of our environment: LiteLLM would take our DATABASE_URL for its own."""

CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel: what a process has run for, in ns; /proc/PID/stat counts ticks of 10 ms."""


@contextmanager
def running(command: Sequence[str], ready_url: str, **environment: str) -> Iterator[int]:
    """Runs `command` from when `ready_url` answers 200 to the end of the `with`; yields its process id.

    Raises RuntimeError with its output when it ends, or does not answer in time.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        process = subprocess.Popen(
            command, env={**INHERITED, **environment}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait_until_ready(process, ready_url, Path(log.name))
            yield process.pid
        finally:
            for end in (signal.SIGTERM, signal.SIGKILL):  # a master that is killed leaves its workers
                try:
                    os.killpg(process.pid, end)
                    process.wait(5)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def tree(pid: int) -> list[int]:
    """A process and all of its descendants."""
    found = [pid]
    for parent in found:  # it grows meanwhile
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, those that have ended not counted."""
    return sum(time.clock_gettime(~process << 3 | CPU_CLOCK) for process in tree(pid))


def resident_mb(pid: int) -> float:
    """The resident set of one process, in 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def workers(pid: int) -> list[int]:
    """The processes of a tree that carry it: those at least half as large as its largest."""
    sizes = {process: resident_mb(process) for process in tree(pid)}
    return [process for process, size in sizes.items() if size >= max(sizes.values()) / 2]
