"""Runs the server and the embedded model side by side, and lets neither outlive the other's stop.

Each child leads a session of its own, so that Ctrl-C reaches the supervisor alone, which then ends them in order:
first the server, whose live turns still need the model, then the model.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from chatproject.start.preflight import ROOT, get

START_SECONDS = 120
"""How long a child may take to answer, on a slow machine with a cold disk."""

RESTART_SECONDS = 60
"""A model that was started again and ended within this time is given up."""

POLL_SECONDS = 0.2

Ending = list[tuple[signal.Signals, float]]
"""Signals to send in turn, each with the seconds that the child then has."""

GENTLE: Ending = [(signal.SIGTERM, 5), (signal.SIGINT, 5), (signal.SIGKILL, 5)]
QUICK: Ending = [(signal.SIGINT, 5), (signal.SIGKILL, 5)]


@dataclass
class Service:
    """One child process."""

    name: str
    command: list[str]
    ready_url: str
    """Answers, with a status below 500, once the service is ready."""
    starts: int = 0
    started: float = 0.0

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self.starts += 1
        self.started = time.monotonic()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def ready(self) -> bool:
        return 0 < get(self.ready_url)[0] < 500

    @property
    def how(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def end(self, ending: Ending) -> None:
        """Sends each signal until the process has gone, then kills what it may have left of its own children."""
        for number, seconds in ending:
            if self.ended:
                break
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """Asks Linux to end this child when the supervisor dies, were it by `kill -9`. Other systems cannot."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Supervisor:
    """Used once: `run`."""

    def __init__(self, server: Service, model: Service | None, say: Callable[[str], None]) -> None:
        self.server = server
        self.model = model
        self.say = say
        self._stop = threading.Event()
        self._signal = signal.SIGINT

    def run(self, on_ready: Callable[[], None]) -> int:
        """Returns the exit status: 0 after a signal, 1 when the server ended by itself."""
        with self._signals():
            services = [service for service in (self.model, self.server) if service]
            for service in services:
                service.start()
            try:
                self._wait(services)
                if self._serving:
                    on_ready()
                while self._serving:
                    self._stop.wait(POLL_SECONDS)
                    self._look_after_model()
                if not self._stop.is_set():
                    self.say(f"The {self.server.name} ended ({self.server.how}), so everything stops.")
                    return 1
                self.say("\nStopping ...")
                return 0
            finally:
                for service in reversed(services):
                    service.end(QUICK if self._signal == signal.SIGINT else GENTLE)

    @property
    def _serving(self) -> bool:
        return not self._stop.is_set() and not self.server.ended

    def _wait(self, waiting: list[Service]) -> None:
        """Until each answers, has ended, or has taken too long."""
        deadline = time.monotonic() + START_SECONDS
        while self._serving and (waiting := [s for s in waiting if not s.ended and not s.ready]):
            if time.monotonic() > deadline:
                names = " and the ".join(service.name for service in waiting)
                return self.say(f"The {names} still does not answer after {START_SECONDS} s; waiting no longer.")
            self._stop.wait(POLL_SECONDS)
        return None

    def _look_after_model(self) -> None:
        """Starts a model that has ended again, unless it just was."""
        model = self.model
        if model is None or not model.ended or not self._serving:
            return
        if model.starts > 1 and time.monotonic() - model.started < RESTART_SECONDS:
            self.say(f"The {model.name} ended again ({model.how}); the server goes on without it.")
            self.model = None
        else:
            self.say(f"The {model.name} ended ({model.how}); starting it again.")
            model.start()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Notes the first signal that asks for an end. A hang-up counts, unless it is ignored, as under nohup."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stop.is_set():
            self._signal = signal.Signals(number)
        self._stop.set()
