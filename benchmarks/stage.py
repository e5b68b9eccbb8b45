"""Everything that is measured, running side by side: the upstream, our server as its users run it, and the peers."""

import os
import secrets
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.processes import running
from benchmarks.sentry_overhead import prepare
from benchmarks.target import WORKERS, Chat, OpenAI, Target
from tests.fakes.database import Database, Databases
from tests.fakes.ports import free_port
from tests.fakes.postgres import postgres

OURS, PROVIDER = "ours", "provider"


@dataclass(frozen=True)
class Stage:
    targets: dict[str, Target]
    """By name: PROVIDER is the upstream itself, then OURS, then the peers."""
    database: Database
    upstream: int
    """The port of the upstream."""

    @property
    def ours(self) -> Target:
        return self.targets[OURS]

    def counts(self) -> str:
        """How many turns and envelopes the upstream has had, as JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.upstream}/counts") as response:
            return str(response.read().decode())


@contextmanager
def stage(*, peers: Sequence[str], gap: float = 0, on_postgres: bool = False, **environment: str) -> Iterator[Stage]:
    """`gap`: seconds between two streamed tokens of the provider. `environment` is added to our server's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        port, pid = stack.enter_context(upstream(gap))
        url = stack.enter_context(postgres()) if on_postgres else ""
        databases = Databases(folder, url)
        database = databases.new()
        target = stack.enter_context(ours(database, databases.keys, port, **environment))
        targets = {PROVIDER: OpenAI(PROVIDER, port, pid), OURS: target}
        targets |= {name: stack.enter_context(PEERS[name](port, folder)) for name in peers}
        yield Stage(targets, database, port)


@contextmanager
def upstream(gap: float = 0) -> Iterator[tuple[int, int]]:
    """Its port and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.upstream", str(port), "--gap", str(gap)]
    with running(command, f"http://127.0.0.1:{port}/counts") as pid:
        yield port, pid


@contextmanager
def ours(database: Database, keys: dict[str, str], port: int, **environment: str) -> Iterator[Target]:
    """Our server with all of its work on: API key, persistence, and every turn traced for Sentry."""
    settings = {
        "CHAT_PROVIDERS": "fake",
        "CHAT_DEFAULT_PROVIDER": "fake",
        "FAKE_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "FAKE_MODEL": "m",
        "SENTRY_DSN": f"http://{secrets.token_hex(16)}@127.0.0.1:{port}/1",
        "SENTRY_TRACES_SAMPLE_RATE": "1",
        "SENTRY_PROFILES_SAMPLE_RATE": "0",
        "WEB_CONCURRENCY": str(WORKERS),
    }
    listen = free_port()
    own = {"DATABASE_URL": database.url, "PORT": str(listen), "ENV_FILE": os.devnull}
    own["SECRET_KEY"] = secrets.token_urlsafe(40)
    command = [sys.executable, "-m", "gunicorn"]
    with running(command, f"http://127.0.0.1:{listen}/health", **{**own, **settings, **environment}) as pid:
        yield Chat(OURS, listen, pid, {"Authorization": f"Bearer {keys['alice']}"})
