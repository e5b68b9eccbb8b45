"""Export and import over HTTP, on a real server: files, slow readers, and what breaks off."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from uuid_utils.compat import uuid7

from tests.conftest import fake
from tests.fakes.client import Client, assert_problem
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

EXPORT = "/api/conversations/export"
IMPORT = "/api/conversations/import"
LINES = {"Content-Type": "application/x-ndjson"}
MEGABYTE = 1_000_000
NOWHERE = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"


@pytest.fixture
def conversation(client: Client) -> str:
    made = client.conversation(title='../"etc"\r\n', metadata={"a": 1})
    client.say(made["id"], "hello", model="tokens-3")
    return str(made["id"])


def fill(server: Server, conversation: str, megabytes: int) -> None:
    """Messages of 100,000 characters."""
    insert = (
        "INSERT INTO conversations_message (id, conversation_id, role, content, status, finish_reason, error_code,"
        " provider, model, request_id, trace_id, sentry_event_id, created_at) VALUES"
        " (?, ?, 'user', ?, 'completed', '', '', '', '', '', '', '', '2026-01-01 00:00:00+00:00')"
    )
    as_text = server.db.url.startswith("sqlite")
    for number in range(megabytes * 10):
        id, owner = uuid7(), conversation
        values = (id.hex, owner.replace("-", "")) if as_text else (str(id), owner)
        server.db.query(insert, *values, f"{number:06}" + "x" * 99_994)


def memory(server: Server) -> int:
    """Bytes of the worker, the shared ones included."""
    [worker] = server.workers()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_the_formats_are_files_with_safe_names(client: Client, conversation: str) -> None:
    one = f"/api/conversations/{conversation}/export"
    for path, format, media_type, name in (
        (EXPORT, "jsonl", "application/x-ndjson", "conversations.jsonl"),
        (EXPORT, "json", "application/json", "conversations.json"),
        (EXPORT, "markdown", "text/markdown; charset=utf-8", "conversations.md"),
        (one, "json", "application/json", f"conversation-{conversation}.json"),
        (one, "markdown", "text/markdown; charset=utf-8", f"conversation-{conversation}.md"),
    ):
        response = client.get(path, params={"format": format})
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == media_type
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert "hello" in response.text
        head = client.http.head(path, params={"format": format})
        assert (head.status_code, head.content, head.headers["Content-Type"]) == (200, b"", media_type)


def test_a_turn_is_exported_and_imported(client: Client, stranger: Client, conversation: str) -> None:
    text = client.get(EXPORT, params={"ids": conversation}).text
    first, last = map(json.loads, text.splitlines())
    assert (last["conversation_count"], last["message_count"]) == (1, 2)
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"]
    assert first["messages"][1]["usage"]["total_tokens"] > 0

    done = stranger.post(IMPORT, content=text, headers=LINES)
    assert done.status_code == 201, done.text
    [made] = done.json()["conversations"]
    assert (done.json()["message_count"], made["source_id"]) == (2, conversation)
    assert stranger.get("/api/conversations?limit=1").json()["items"][0]["id"] == made["id"]
    theirs, mine = stranger.messages(made["id"]), client.messages(conversation)
    assert [m["content"] for m in theirs] == [m["content"] for m in mine]
    assert [m["created_at"] for m in theirs] == [m["created_at"] for m in mine]
    assert stranger.say(made["id"], "go on", model="tokens-1").status_code == 200

    document = client.get(f"/api/conversations/{conversation}/export").content
    again = stranger.post(IMPORT, content=document, headers={"Content-Type": "application/json"})
    assert (again.status_code, again.json()["conversation_count"]) == (201, 1)


def test_what_goes_on_to_the_provider_is_what_was_imported(
    client: Client, provider: Provider, conversation: str
) -> None:
    text = client.get(EXPORT, params={"ids": conversation}).text.replace('"hello"', '"from elsewhere"')
    [made] = client.post(IMPORT, content=text, headers=LINES).json()["conversations"]
    client.say(made["id"], "go on", model="tokens-1")
    assert "from elsewhere" in [m["content"] for m in provider.last.messages]


@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ("format=xml", 422, "invalid_request", "format"),
        ("ids=7", 422, "invalid_request", "ids.0"),
        ("&".join([f"ids={NOWHERE}"] * 51), 422, "invalid_request", "ids"),
        ("since=yesterday", 422, "invalid_request", "since"),
        ("since=0.5", 422, "invalid_request", "since"),
        ("until=99999999999999999999", 422, "invalid_request", "until"),
        (f"ids={NOWHERE}", 404, "conversation_not_found", None),
    ],
)
def test_a_wrong_export_is_a_problem(client: Client, query: str, status: int, code: str, field: str | None) -> None:
    assert_problem(client.get(f"{EXPORT}?{query}"), status, code, field)


def test_odd_moments_break_nothing(client: Client) -> None:
    for moment in (
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1970-01-01T00:00:00+14:00",
        "-1",
        "0",
        "1e3",
        "2026-01-01",
    ):
        assert client.get(EXPORT, params={"since": moment, "until": moment}).status_code in {200, 422}, moment


def test_nobody_exports_what_is_somebody_elses(client: Client, stranger: Client, conversation: str) -> None:
    assert conversation not in stranger.get(EXPORT).text
    assert_problem(stranger.get(f"{EXPORT}?ids={conversation}"), 404, "conversation_not_found")
    assert_problem(stranger.get(f"/api/conversations/{conversation}/export"), 404, "conversation_not_found")


def test_a_wrong_import_is_a_problem_and_stores_nothing(client: Client, server: Server, conversation: str) -> None:
    text = client.get(EXPORT, params={"ids": conversation}).text
    before = server.db.count("conversations_conversation")
    json_type = {"Content-Type": "application/json"}
    for body, headers, status, code in (
        (text, json_type, 400, "invalid_json"),
        ("{", LINES, 400, "invalid_json"),
        ('{"a": NaN}', LINES, 400, "invalid_json"),
        ("[" * 100_000, json_type, 400, "invalid_json"),
        (b"\xff", LINES, 400, "invalid_json"),
        (text, {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("", json_type, 400, "invalid_json"),
        (text + '{"format": "ai-chat-export"}', LINES, 422, "invalid_request"),
        (" " * 3 * MEGABYTE, LINES, 413, "body_too_large"),
    ):
        assert_problem(client.post(IMPORT, content=body, headers=headers), status, code)
    assert server.db.count("conversations_conversation") == before


@pytest.fixture(scope="module")
def sentry() -> Iterator[Ingest]:
    with Ingest() as ingest:
        yield ingest


@pytest.fixture(scope="module")
def filled(databases: Databases, _provider: Provider, sentry: Ingest) -> Iterator[tuple[Server, str]]:
    """A server of these tests' own, which has one connection, and a conversation of 30 MB."""
    environment = {**fake(_provider), "SENTRY_DSN": sentry.dsn, "DATABASE_THREADS": "1"}
    with Server(databases.new(), databases.keys, **environment) as server:
        made = server.client().conversation()["id"]
        fill(server, made, 30)
        yield server, made


def test_a_long_export_takes_no_memory_and_no_connection_from_others(filled: tuple[Server, str]) -> None:
    server, conversation = filled
    client = server.client()
    client.get(EXPORT, params={"until": "2020-01-01T00:00:00Z"})
    before = memory(server)
    with server.client().http.stream("GET", EXPORT) as response:
        chunks = response.iter_bytes()
        read = [next(chunks)]
        # A reader who takes his time has neither the only connection nor the server's memory.
        for _ in range(20):
            assert client.read(conversation)["id"] == conversation
        assert memory(server) - before < 15 * MEGABYTE
        read += list(chunks)
    assert memory(server) - before < 25 * MEGABYTE
    first, last = b"".join(read).splitlines()
    messages = json.loads(first)["messages"]
    assert [m["content"][:6] for m in messages] == [f"{number:06}" for number in range(300)]
    assert json.loads(last)["message_count"] == 300


def test_a_reader_may_leave(filled: tuple[Server, str], sentry: Ingest) -> None:
    server, conversation = filled
    client = server.client()
    with client.http.stream("GET", EXPORT, headers={"X-Request-ID": "left-early"}) as response:
        next(response.iter_bytes())
    poll(lambda: "left-early" in server.log(), 10, "line in the log")
    assert client.read(conversation)["id"] == conversation
    assert not sentry.items("event")


def test_an_export_that_fails_breaks_off_and_is_one_event(filled: tuple[Server, str], sentry: Ingest) -> None:
    server, _ = filled
    client = server.client()
    read: list[bytes] = []
    with client.http.stream("GET", EXPORT, params={"format": "json"}) as response:
        assert response.status_code == 200
        chunks = response.iter_bytes()
        read.append(next(chunks))
        server.db.query("ALTER TABLE conversations_message RENAME TO gone")
        with pytest.raises(httpx2.RemoteProtocolError):
            read += list(chunks)
    assert not b"".join(read).rstrip().endswith(b"}")
    [event] = poll(lambda: sentry.items("event"), 10, "event")
    # SQLite's words depend on where it notices: that there is no such table, or that the schema has changed.
    assert event["exception"]["values"][-1]["type"] in ("OperationalError", "ProgrammingError"), event["exception"]
    server.db.query("ALTER TABLE gone RENAME TO conversations_message")
    assert client.get(EXPORT).status_code == 200


def test_an_import_says_what_is_wrong_where(client: Client, conversation: str) -> None:
    text = client.get(EXPORT, params={"ids": conversation}).text.replace('"assistant"', '"user"')
    problem = assert_problem(client.post(IMPORT, content=text, headers=LINES), 422, "invalid_request")
    assert problem["errors"] == [{"field": "line 1.messages.1.cost_usd", "message": "is for an assistant's message"}]
