"""Two nodes, each with two workers, on one PostgreSQL, behind nginx."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import fake
from tests.fakes.client import Client
from tests.fakes.database import ROOT, Database, Databases
from tests.fakes.nginx import nginx
from tests.fakes.ports import free_port
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

SITE = ROOT / "deploy" / "nginx" / "chat.conf"
CIRCUIT_FAILURES = 3
MODEL = "gpt-4o-mini"
"""Of the provider `openai`: one that has a price, and answers when the test says so."""


@dataclass(frozen=True)
class Cluster:
    one: Server
    other: Server
    url: str
    """Of nginx."""
    key: str
    """Alice's."""

    @property
    def db(self) -> Database:
        return self.one.db

    @property
    def nodes(self) -> tuple[Server, Server]:
        return self.one, self.other

    def clients(self, key: str | None = None) -> tuple[Client, Client]:
        """At each of the nodes, past nginx; Alice's unless with another key."""
        return self.one.client_with(key or self.key), self.other.client_with(key or self.key)

    def wait_ready(self) -> None:
        """Until both say that they are."""
        for client in self.clients():
            poll(lambda client=client: client.get("/health/ready").status_code == 200, 20, "ready node")


@contextmanager
def cluster_on(databases: Databases, provider: Provider, folder: Path, **environment: str) -> Iterator[Cluster]:
    environment = {
        **fake(provider),
        "CHAT_PROVIDERS": "fake,openai",
        "OPENAI_API_KEY": "openai-secret",
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_MODEL": MODEL,
        "OPENAI_FALLBACK_MODEL": MODEL,
        "CHAT_CIRCUIT_FAILURES": str(CIRCUIT_FAILURES),
        "CHAT_CIRCUIT_SECONDS": "3",
        "DATABASE_TIMEOUT": "2",
        "WEB_CONCURRENCY": "2",
        **environment,
    }
    db = databases.new()
    # A port each, for good: nginx has to find a node again that was restarted.
    one, other = (Server(db, databases.keys, **environment, PORT=str(free_port())) for _ in range(2))
    with ExitStack() as stack, ThreadPoolExecutor(2) as starting:
        for server in starting.map(Server.__enter__, (one, other)):
            stack.push(server)
        url = stack.enter_context(nginx(SITE, folder, [one.url, other.url]))
        yield Cluster(one, other, url, databases.keys["alice"])
