"""What the tests of the contract share."""

from collections.abc import Iterator

import pytest

from tests.chatproject.observability.watch import Watch
from tests.conftest import fake
from tests.fakes import bugsink as real
from tests.fakes.bugsink import Bugsink
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server


@pytest.fixture(scope="session")
def _bugsink() -> Iterator[Bugsink | None]:
    if not real.installed():
        yield None
        return
    with Bugsink() as bugsink:
        yield bugsink


@pytest.fixture
def bugsink(_bugsink: Bugsink | None) -> Bugsink:
    if _bugsink is None:
        pytest.skip("Bugsink is not installed: `make bugsink`")
    return _bugsink


@pytest.fixture
def watch(server_ingest: Ingest, _bugsink: Bugsink | None) -> Watch:
    """What the servers send that report to the shared Sentry."""
    return Watch(server_ingest, _bugsink)


@pytest.fixture(scope="module")
def buggy_server(databases: Databases, _provider: Provider, server_ingest: Ingest) -> Iterator[Server]:
    """A server with code that breaks, and with /sentry-debug for staff only."""
    sentry = {"SENTRY_DSN": server_ingest.dsn, "SENTRY_EVENT_BURST": "0", "SENTRY_DEBUG_OPEN": "false"}
    faulty = {"DJANGO_SETTINGS_MODULE": "tests.fakes.faulty_settings"}
    with Server(databases.new(), databases.keys, **fake(_provider), **sentry, **faulty) as server:
        yield server
