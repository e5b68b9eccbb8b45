"""The contract's rows of a database that is away: a PostgreSQL that the server is cut off from."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import psycopg
import pytest

from tests.chatproject.observability.contract import covers
from tests.chatproject.observability.watch import Watch, last_of, new_request, path_of
from tests.conftest import TEST_DATABASE_URL, fake
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.database import Databases, name_in
from tests.fakes.ingest import Ingest
from tests.fakes.postgres import postgres
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

both = pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])


class Breakable:
    """A server on PostgreSQL, whose database can be made to go away."""

    def __init__(self, server: Server, admin_url: str) -> None:
        self.server = server
        self._admin_url = admin_url

    @contextmanager
    def away(self) -> Iterator[None]:
        name = name_in(self.server.db.url)
        with psycopg.connect(self._admin_url, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            try:
                yield
            finally:
                admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


@pytest.fixture(scope="module")
def breakable(
    _provider: Provider, server_ingest: Ingest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Breakable]:
    folder = tmp_path_factory.mktemp("pg")
    with nullcontext(TEST_DATABASE_URL) if TEST_DATABASE_URL else postgres() as url:
        databases = Databases(folder, url)
        environment = {"SENTRY_DSN": server_ingest.dsn, "SENTRY_EVENT_BURST": "0"}
        with Server(databases.new(), databases.keys, **fake(_provider), **environment) as server:
            yield Breakable(server, url)
        databases.drop()


@covers("the database is down when a request comes")
@both
def test_a_database_that_is_down_is_one_event(
    breakable: Breakable, provider: Provider, watch: Watch, streamed: bool
) -> None:
    client, header = breakable.server.client(), new_request()
    path = path_of(client)
    with breakable.away():
        response = client.post(path, json={"content": "hi", "stream": streamed}, headers=header)
    problem = assert_problem(response, 503, "database_unavailable")
    seen = watch.of(header)
    seen.fits("the database is down when a request comes")
    assert seen.event["event_id"] == problem["sentry_event_id"]


@covers("the database goes down in a turn")
@both
def test_a_database_that_goes_down_in_a_turn_is_one_event(
    breakable: Breakable, provider: Provider, watch: Watch, streamed: bool
) -> None:
    client, header = breakable.server.client(), new_request()
    path = path_of(client)
    body = {"content": "hi", "model": "hang-mid-stream", "stream": streamed}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, path, json=body, headers=header)
        breakable.server.client().wait_saved(path.split("/")[3], PARTIAL)
        with breakable.away():
            provider.release()
            response = asking.result(20)
    assert response.status_code == (200 if streamed else 503)
    answer = last_of(response)
    assert answer["code"] == "database_unavailable"
    seen = watch.of(header)
    seen.fits("the database goes down in a turn")
    assert seen.event["event_id"] == answer["sentry_event_id"]
    assert seen.transaction["tags"]["chat.outcome"] == seen.event["tags"]["chat.outcome"] == "failed"
    assert seen.attempt["status"] == "ok"


@covers("a turn of `/v1` that is not stored cannot be counted")
@both
def test_one_that_goes_down_in_a_completion_that_is_stored_nowhere_is_one_event(
    breakable: Breakable, provider: Provider, watch: Watch, streamed: bool
) -> None:
    client, header = breakable.server.client("bob"), new_request()  # whose statistics nothing else changes
    before = turns_of(client)
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "hang-mid-stream", "stream": streamed}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, "/v1/chat/completions", json=body, headers=header)
        provider.wait()
        with breakable.away():
            provider.release()
            response = asking.result(20)
    assert response.status_code == 200, response.text
    seen = watch.of(header, events=1)
    seen.fits("a turn of `/v1` that is not stored cannot be counted")
    assert seen.transaction["tags"]["chat.outcome"] == seen.event["tags"]["chat.outcome"] == "completed"
    assert seen.event["event_id"] not in response.text, "it is nothing to the client"
    poll(lambda: turns_of(client) == before + 1, what="turn in the statistics")


def turns_of(client: Client) -> int:
    return int(client.get("/api/stats").json()["total"]["turns"])
