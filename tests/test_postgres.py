"""The same server on PostgreSQL: what SQLite forgives, and a database that goes away."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest

from tests.conftest import TEST_DATABASE_URL, fake
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.database import Databases, manage, name_in
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.postgres import Postgres, fragile_postgres
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of our own."""
    with fragile_postgres() as own:
        yield own


@pytest.fixture(scope="module")
def admin_url(request: pytest.FixtureRequest) -> str:
    """The server that TEST_DATABASE_URL names, or our own."""
    return TEST_DATABASE_URL or str(request.getfixturevalue("fragile").url)


@pytest.fixture(scope="module")
def pg_server(admin_url: str, _provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    databases = Databases(tmp_path_factory.mktemp("unused"), admin_url)
    with Server(databases.new(), databases.keys, **fake(_provider)) as server:
        yield server
    databases.drop()


@pytest.fixture
def pg_client(pg_server: Server, provider: Provider) -> Client:
    return pg_server.client()


def test_a_conversation_works(pg_client: Client, provider: Provider) -> None:
    conversation = pg_client.conversation(metadata={"a": [1, "ä"]})
    pg_client.say(conversation["id"], "one")
    *_, completed = pg_client.events(conversation["id"], "two")
    assert completed.data == pg_client.messages(conversation["id"])[-1]
    assert [message["content"] for message in provider.last.messages[1:]] == ["one", "You said: one", "two"]
    assert pg_client.read(conversation["id"])["message_count"] == 4
    page = pg_client.get("/api/conversations", params={"limit": 1}).json()
    assert page["items"][0]["id"] == conversation["id"]


def test_conversations_are_found_by_what_is_on_them(pg_client: Client) -> None:
    number = pg_client.conversation(metadata={"n": 42, "7": "ä"}, tags=["b", "a"])
    text = pg_client.conversation(metadata={"n": "42", "flag": True}, tags=["b"])

    def found(**query: object) -> list[str]:
        page = pg_client.get("/api/conversations", params={"limit": 2, **query}).json()
        return [item["id"] for item in page["items"]]

    assert found(tag="b", metadata="n:42") == [text["id"], number["id"]]
    assert found(metadata="n:42.0") == found(metadata="7:ä") == found(tag=["a", "b"]) == [number["id"]]
    assert found(metadata="flag:true") == [text["id"]]
    assert found(metadata="flag:1") == found(metadata="n:1e999") == []


def test_an_answer_is_made_again_and_forked(pg_client: Client, provider: Provider) -> None:
    conversation = pg_client.conversation()
    answer = pg_client.say(conversation["id"], "one").json()
    path = f"/api/conversations/{conversation['id']}"
    again = pg_client.post(f"{path}/messages/{answer['id']}/regenerate", json={"model": "tokens-1"})
    assert again.status_code == 200, again.text
    fork = pg_client.post(f"{path}/fork").json()
    assert [message["content"] for message in pg_client.messages(fork["id"])] == ["one", "tok "]
    pg_client.say(fork["id"], "two")
    assert [message["content"] for message in provider.last.messages[1:]] == ["one", "tok ", "two"]
    asked = pg_client.messages(fork["id"])[2]
    edited = pg_client.post(f"/api/conversations/{fork['id']}/messages/{asked['id']}/edit", json={"content": "deux"})
    assert edited.json()["content"] == "You said: deux"
    assert [message["content"] for message in provider.last.messages[1:]] == ["one", "tok ", "deux"]


@pytest.mark.parametrize("model", ["nul", "odd-model", "odd-usage", "odd-finish"])
def test_an_answer_that_it_cannot_store_as_it_is_still_gets_its_end(pg_client: Client, model: str) -> None:
    conversation = pg_client.conversation()
    *_, last = pg_client.events(conversation["id"], "go", model=model)
    assert last.name == "message.completed" or last.data["code"] == "malformed_answer"
    assert pg_client.messages(conversation["id"])[-1]["status"] in {"completed", "failed"}


def test_two_turns_at_once_are_one(pg_client: Client, provider: Provider) -> None:
    conversation = pg_client.conversation()
    with pg_client.stream(conversation["id"], "first", model="hang"):
        provider.wait()
        assert_problem(pg_client.say(conversation["id"], "second"), 409, "turn_in_progress")


@pytest.mark.parametrize("number", ["1e400", "9" * 5000, "1e-400", "12345678901234567890"])
def test_odd_numbers_are_stored_or_refused(pg_client: Client, number: str) -> None:
    raw = b'{"metadata": {"n": ' + number.encode() + b"}}"
    response = pg_client.post("/api/conversations", content=raw, headers={"Content-Type": "application/json"})
    assert response.status_code in {201, 400, 422}, response.text


def test_many_streams_hold_few_connections(pg_server: Server, pg_client: Client, provider: Provider) -> None:
    streams = [pg_client.stream(pg_client.conversation()["id"], "go", model="hang-mid-stream") for _ in range(30)]
    try:
        for manager in streams:
            stream = manager.__enter__()
            stream.next("message.created")
            stream.text("three ")
        sessions = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        assert pg_server.db.query(sessions)[0]["n"] <= 8 + 1, "DATABASE_THREADS and this one"
    finally:
        for manager in streams:
            manager.__exit__(None, None, None)


def test_a_database_that_goes_away_in_a_turn_is_told_and_comes_back(
    pg_server: Server, pg_client: Client, admin_url: str, provider: Provider
) -> None:
    conversation = pg_client.conversation()
    name = name_in(pg_server.db.url)
    with (
        psycopg.connect(admin_url, autocommit=True) as admin,
        pg_client.stream(conversation["id"], "go", model="hang-mid-stream") as stream,
    ):
        stream.next("message.created")
        text = stream.text("three ")
        pg_client.wait_saved(conversation["id"], PARTIAL)
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            provider.release()
            *deltas, failed = list(stream)
            response = pg_client.get("/api/conversations")
            ready = pg_client.get("/health/ready")
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    assert (failed.name, failed.data["code"]) == ("message.failed", "database_unavailable")
    assert_problem(response, 503, "database_unavailable")
    assert response.headers["Retry-After"].isdecimal()
    assert (ready.status_code, ready.json()) == (503, {"status": "database unavailable"})
    poll(lambda: pg_client.get("/health/ready").status_code == 200, what="database")
    poll(lambda: pg_client.messages(conversation["id"])[-1]["status"] == "failed", what="late save")
    answer = pg_client.messages(conversation["id"])[-1]
    assert answer["content"] == text + "".join(event.data["delta"] for event in deltas)
    assert answer["content"] != PARTIAL
    assert (answer["error_code"], answer["sentry_event_id"]) == ("database_unavailable", None)
    assert pg_client.say(conversation["id"], "again").status_code == 200


@pytest.fixture(scope="module")
def fragile_databases(fragile: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    return Databases(tmp_path_factory.mktemp("unused"), fragile.url)


@pytest.mark.parametrize("outage", [Postgres.stalled, Postgres.dead], ids=["stalled", "dead"])
def test_an_outage_in_a_turn_costs_no_text(
    outage: Callable[[Postgres], AbstractContextManager[None]],
    fragile: Postgres,
    fragile_databases: Databases,
    provider: Provider,
    ingest: Ingest,
) -> None:
    environment = {**fake(provider), "SENTRY_DSN": ingest.dsn, "DATABASE_TIMEOUT": "2"}
    with Server(fragile_databases.new(), fragile_databases.keys, **environment) as server:
        client = server.client()
        conversation = client.conversation()["id"]
        with client.stream(conversation, "go", model="hang-mid-stream") as stream:
            stream.next("message.created")
            text = stream.text("three ")
            client.wait_saved(conversation, PARTIAL)
            with outage(fragile):
                provider.release()
                *deltas, failed = list(stream)
                ready = client.get("/health/ready")
        assert (failed.name, failed.data["code"]) == ("message.failed", "database_unavailable")
        assert failed.data["status"] == 503
        assert (ready.status_code, ready.json()) == (503, {"status": "database unavailable"})
        poll(lambda: client.get("/health/ready").status_code == 200, 20, "database")
        poll(lambda: client.messages(conversation)[-1]["status"] != "streaming", what="late save")
        answer = client.messages(conversation)[-1]
        assert answer["content"] == text + "".join(event.data["delta"] for event in deltas) == f"{PARTIAL}four"
        assert (answer["status"], answer["error_code"]) == ("failed", "database_unavailable")
        [event] = fence(client, ingest)
        assert answer["sentry_event_id"] == failed.data["sentry_event_id"] == event["event_id"]
        assert client.say(conversation, "again").status_code == 200


def test_locks_have_a_limit_and_commands_have_none(pg_server: Server, provider: Provider) -> None:
    with pg_server.neighbour(DATABASE_TIMEOUT="2") as server:
        client = server.client()
        conversation = client.conversation()["id"]
        with psycopg.connect(server.db.url) as other:
            other.execute("SELECT * FROM conversations_conversation FOR UPDATE")
            started = time.monotonic()
            assert_problem(client.say(conversation, "hello"), 503, "database_unavailable")
            assert 0.9 < time.monotonic() - started < 1.9, "half of DATABASE_TIMEOUT"
        assert client.say(conversation, "hello").status_code == 200
    show = "from django.db import connection as c; k = c.cursor(); k.execute('SHOW statement_timeout'); "
    assert manage(pg_server.db.url, "shell", "--no-imports", "-c", f"{show}print(k.fetchone())").strip() == "('0',)"
