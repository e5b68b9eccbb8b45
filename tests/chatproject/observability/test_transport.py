"""How transactions get to Sentry: by the worker's loop, many at a time, and none is lost at the worker's end."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chatproject.observability.test_sentry import python
from tests.conftest import StartServer
from tests.fakes.client import Client
from tests.fakes.ingest import Answer, Ingest
from tests.fakes.server import Server
from tests.fakes.tls import serving
from tests.fakes.waiting import poll

COMMAND = """
import django, sentry_sdk
django.setup()
with sentry_sdk.start_transaction(name="t", sampled=True):
    pass
sentry_sdk.flush()
"""


class Slow(Ingest):
    """A Sentry that is far away: each answer takes a while, and several can be under way."""

    delay = 0.2
    """Seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        """How many were under way at once."""
        self._now = 0
        self._counting = threading.Lock()

    def take(self, body: bytes) -> Answer | None:
        with self._counting:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.delay)
        with self._counting:
            self._now -= 1
        return super().take(body)


class Held(Ingest):
    """A Sentry that answers nothing until `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def take(self, body: bytes) -> Answer | None:
        self.gate.wait(20)
        return super().take(body)


def turns(server: Server, count: int) -> None:
    client = server.client()
    for _ in range(count):
        assert client.post("/api/chat", json={"message": "hello"}).status_code == 200
    client.close()


def names(ingest: Ingest) -> list[str]:
    return [sent["transaction"] for sent in ingest.items("transaction")]


def test_a_sentry_that_is_far_away_gets_them_all(start_server: StartServer) -> None:
    with Slow() as ingest:
        server = start_server(SENTRY_DSN=ingest.dsn)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: turns(server, 20), range(4)))
        poll(lambda: names(ingest).count("/api/chat") == 80, what="transactions", seconds=10)
        assert 1 < ingest.most <= 8 + 1, "eight by the loop, one by the SDK's thread"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_those_of_a_worker_that_ends_arrive(start_server: StartServer, number: signal.Signals) -> None:
    with Held() as ingest:
        server = start_server(SENTRY_DSN=ingest.dsn)
        turns(server, 14)  # more than are under way at once
        server.signal(number)
        poll(lambda: "Worker shutting down" in server.log(), what="end")
        ingest.gate.set()
        assert server.wait() == 0
        # What was under way at a SIGINT may come twice; Sentry knows an event by its id.
        assert len({sent["event_id"] for sent in ingest.items("transaction")}) == 14
        assert "Unclosed" not in server.log()
        assert "Traceback" not in server.log()


def test_nothing_is_left_behind_by_a_worker_whose_sentry_hangs(start_server: StartServer, ingest: Ingest) -> None:
    ingest.hang()
    server = start_server(SENTRY_DSN=ingest.dsn)
    turns(server, 14)
    client = server.client()
    client.post("/api/chat", json={"message": "hi", "model": "status-500"})  # an error, for the SDK's thread
    client.close()
    assert server.terminate() == 0
    assert "Worker exiting" in server.log(), "by itself"
    assert "Unclosed" not in server.log()
    assert "was destroyed" not in server.log()


def test_a_limit_that_sentry_sets_on_transactions_is_kept(start_server: StartServer, ingest: Ingest) -> None:
    client: Client = start_server(SENTRY_DSN=ingest.dsn).client()
    ingest.answer(200, {"X-Sentry-Rate-Limits": "600:transaction:organization"})
    client.post("/api/chat", json={"message": "one"})
    ingest.wait("transaction")
    ingest.clear()
    for _ in range(5):
        client.post("/api/chat", json={"message": "more"})
    client.post("/api/chat", json={"message": "hi", "model": "status-500"})
    ingest.wait("event")
    assert names(ingest) == []


def test_what_sentry_does_not_take_is_reported_as_lost(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    ingest.answer(500)
    turns(server, 1)
    ingest.wait("transaction")
    ingest.answer(200)
    assert server.terminate() == 0
    lost = [entry for report in ingest.items("client_report") for entry in report["discarded_events"]]
    assert {"reason": "network_error", "category": "transaction", "quantity": 1} in lost


def test_over_tls_the_loop_trusts_whom_the_sdk_would_trust(start_server: StartServer, self_signed: Path) -> None:
    with Ingest(tls=serving(self_signed)) as ingest:
        turns(start_server(SENTRY_DSN=ingest.dsn, SSL_CERT_FILE=str(self_signed)), 3)
        ingest.wait("transaction", 3)


def test_it_tells_nothing_to_one_with_a_certificate_of_nobody(start_server: StartServer, self_signed: Path) -> None:
    with Ingest(tls=serving(self_signed)) as ingest:
        server = start_server(SENTRY_DSN=ingest.dsn)
        turns(server, 1)
        assert server.terminate() == 0
        assert ingest.raw == []


def test_what_goes_through_a_proxy_is_left_to_the_sdk(start_server: StartServer, ingest: Ingest) -> None:
    """The proxy is the ingest endpoint itself, which is asked for an address of another host."""
    server = start_server(
        SENTRY_DSN=ingest.dsn.replace("127.0.0.1", "sentry.invalid"), HTTP_PROXY=ingest.url, NO_PROXY="127.0.0.1"
    )
    turns(server, 1)
    ingest.wait("transaction")


def test_where_sentry_has_moved_to_gets_them(start_server: StartServer, ingest: Ingest) -> None:
    with Ingest() as moved:
        ingest.answer(307, {"Location": f"{moved.url}/api/1/envelope/"})
        turns(start_server(SENTRY_DSN=ingest.dsn), 1)
        moved.wait("transaction")


def test_a_command_sends_by_the_sdks_thread(ingest: Ingest) -> None:
    python(COMMAND, SENTRY_DSN=ingest.dsn)
    assert names(ingest) == ["t"]
