"""Debian's redis-server, for as long as a test needs it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from tests.fakes.ports import free_port
from tests.fakes.waiting import poll


def missing() -> str:
    """What of it is not installed; empty when nothing is."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    return "" if find_spec("redis") else "the package redis is not installed"


class Redis:
    """One that a test may stop. `with` starts it; it keeps nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        """As CACHE_URL takes it."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Waits until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        poll(self._answers, 10, "Redis")

    def stop(self) -> None:
        """At once, with all that it holds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    @contextmanager
    def dead(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def info(self, name: str) -> int:
        """A number that INFO tells, such as `connected_clients`."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            return int(client.info()[name])

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def redis_server() -> Iterator[Redis]:
    server = Redis()
    server.start()
    try:
        yield server
    finally:
        server.stop()
