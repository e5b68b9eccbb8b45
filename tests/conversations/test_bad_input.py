"""Bad input: each a problem document with the right 4xx and the field named, nothing written, no event in Sentry."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as column
from typing import Any

import httpx2
import pytest

from tests.fakes.client import Client, assert_problem
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server

JSON = {"Content-Type": "application/json"}
LIMIT = 100_000
NOWHERE = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"
TABLES = ("conversations_conversation", "conversations_message")


@dataclass(frozen=True)
class Case:
    """A request and its refusal. In `path`, {id} is a conversation of the caller's."""

    name: str
    body: Any
    status: int
    code: str
    field: str | None = None
    path: str = "/api/conversations/{id}/messages"
    method: str = "POST"
    headers: dict[str, str] = column(default_factory=lambda: dict(JSON))


def content(name: str, value: Any, **fields: Any) -> Case:
    return Case(f"content {name}", {"content": value, **fields}, 422, "invalid_request", "content")


def parameter(name: str, value: Any) -> Case:
    return Case(f"{name} {value!r:.20}", {"content": "x", name: value}, 422, "invalid_request", name)


def creation(name: str, label: str, value: Any, where: str = "") -> Case:
    return Case(f"new {name} {label}", {name: value}, 422, "invalid_request", name + where, path="/api/conversations")


def broken(name: str, raw: bytes) -> Case:
    return Case(f"body {name}", raw, 400, "invalid_json")


def query(path: str, query: str, status: int, code: str, field: str | None = None) -> Case:
    return Case(f"query {query:.20}", None, status, code, field, path=f"{path}?{query}", method="GET", headers={})


BODIES = [
    content("empty", ""),
    content("blank", " \n\t\u2003"),
    content("too long", "x" * (LIMIT + 1)),
    content("a number", 5),
    content("null", None),
    content("a list", ["hello"]),
    content("an object", {"text": "hello"}),
    content("with NUL", "a\x00b"),
    Case("content missing", {}, 422, "invalid_request", "content"),
    Case("unknown field", {"content": "x", "contents": "y"}, 422, "invalid_request", "contents"),
    parameter("stream", "yes"),
    parameter("stream", 1),
    parameter("stream", None),
    parameter("temperature", "0.5"),
    parameter("temperature", 2.1),
    parameter("temperature", -0.1),
    parameter("temperature", True),
    parameter("max_tokens", 0),
    parameter("max_tokens", 1.5),
    parameter("max_tokens", "10"),
    parameter("max_tokens", True),
    parameter("max_tokens", 10**30),
    parameter("model", ""),
    parameter("model", "x" * 201),
    parameter("model", "a\x00b"),
    parameter("model", 7),
    parameter("provider", 7),
    parameter("provider", "x" * 33),
    parameter("provider", "a\x00b"),
    Case("provider unknown", {"content": "x", "provider": "nobody"}, 400, "unknown_provider"),
    Case("provider not configured", {"content": "x", "provider": "openai"}, 400, "unknown_provider"),
    Case("body a list", [], 422, "invalid_request"),
    Case("body a string", b'"hello"', 422, "invalid_request"),
    Case("body null", b"null", 422, "invalid_request"),
    Case("body empty", b"", 422, "invalid_request", "body"),
    broken("truncated", b'{"content": "hel'),
    broken("with single quotes", b"{'content': 'x'}"),
    broken("with more after it", b'{"content": "x"} {"content": "y"}'),
    broken("with half a surrogate pair", rb'{"content": "a\ud83d"}'),
    broken("with the halves the wrong way round", rb'{"content": "\udf0d\ud83c"}'),
    broken("not UTF-8", b'{"content": "\xff\xfe"}'),
    broken("UTF-16", '{"content": "x"}'.encode("utf-16")),
    broken("with NaN", b'{"content": "x", "temperature": NaN}'),
    broken("with Infinity", b'{"content": "x", "temperature": -Infinity}'),
    broken("nested bottomlessly", b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    broken("with a bare NUL", b'{"content": "\x00"}'),
    Case("temperature beyond floats", b'{"content": "x", "temperature": 1e999}', 422, "invalid_request", "temperature"),
    Case("no content type", b'{"content": "x"}', 415, "unsupported_media_type", headers={}),
    Case("text", b'{"content": "x"}', 415, "unsupported_media_type", headers={"Content-Type": "text/plain"}),
    Case(
        "a form",
        b"content=x",
        415,
        "unsupported_media_type",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Case(
        "a multipart form",
        b"--b\r\nContent-Disposition: form-data; name=content\r\n\r\nx\r\n--b--\r\n",
        415,
        "unsupported_media_type",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    ),
    Case("10 MB", b'{"content": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
]
CONVERSATIONS = [
    creation("title", "too long", "x" * 201),
    creation("title", "with NUL", "\x00"),
    creation("title", "null", None),
    creation("system_prompt", "with NUL", "a\x00"),
    creation("system_prompt", "too long", "x" * (LIMIT + 1)),
    creation("metadata", "a list", []),
    creation("metadata", "null", None),
    creation("metadata", "with NUL in a value", {"a": ["b\x00"]}),
    creation("metadata", "with NUL in a name", {"a": {"b\x00": 1}}),
    creation("owner", "unknown", 1),
    Case("new, provider unknown", {"provider": "nobody"}, 400, "unknown_provider", path="/api/conversations"),
    Case("change unknown field", {"id": 1}, 422, "invalid_request", "id", "/api/conversations/{id}", "PATCH"),
    Case("change provider", {"provider": "no"}, 400, "unknown_provider", None, "/api/conversations/{id}", "PATCH"),
    Case("change title", {"title": 5}, 422, "invalid_request", "title", "/api/conversations/{id}", "PATCH"),
    Case("change to NUL", {"title": "\x00"}, 422, "invalid_request", "title", "/api/conversations/{id}", "PATCH"),
    Case("change nothing, badly", b"{", 400, "invalid_json", None, "/api/conversations/{id}", "PATCH"),
]
CHAT = [
    Case("chat empty", {"message": ""}, 422, "invalid_request", "message", "/api/chat"),
    Case("chat missing", {}, 422, "invalid_request", "message", "/api/chat"),
    Case("chat content", {"content": "x", "message": "x"}, 422, "invalid_request", "content", "/api/chat"),
    Case("chat id", {"message": "x", "conversation_id": "7"}, 422, "invalid_request", "conversation_id", "/api/chat"),
    Case(
        "chat unknown", {"message": "x", "conversation_id": NOWHERE}, 404, "conversation_not_found", None, "/api/chat"
    ),
    Case(
        "chat old with a prompt",
        {"message": "x", "conversation_id": NOWHERE, "system_prompt": "be brief"},
        422,
        "invalid_request",
        "system_prompt",
        "/api/chat",
    ),
    Case(
        "chat old with metadata",
        {"message": "x", "conversation_id": NOWHERE, "metadata": {"a": 1}},
        422,
        "invalid_request",
        "metadata",
        "/api/chat",
    ),
    Case("chat provider", {"message": "x", "provider": "nobody"}, 400, "unknown_provider", None, "/api/chat"),
    Case("chat in path", {"message": "x"}, 400, "unknown_provider", None, "/api/chat/nobody"),
    Case("chat not configured", {"message": "x"}, 400, "unknown_provider", None, "/api/chat/anthropic"),
    Case("chat NUL in path", {"message": "x"}, 400, "unknown_provider", None, "/api/chat/a%00b"),
]
PLACES = [
    Case(
        "unknown conversation",
        {"content": "x"},
        404,
        "conversation_not_found",
        path=f"/api/conversations/{NOWHERE}/messages",
    ),
    Case("no id", {"content": "x"}, 404, "not_found", path="/api/conversations/7/messages"),
    Case("NUL id", {"content": "x"}, 404, "not_found", path="/api/conversations/%00/messages"),
    Case("unknown path", None, 404, "not_found", path="/api/conversation", method="GET"),
    Case("wrong method", None, 405, "method_not_allowed", path="/api/conversations", method="DELETE"),
    query("/api/conversations", "limit=0", 422, "invalid_request", "limit"),
    query("/api/conversations", "limit=101", 422, "invalid_request", "limit"),
    query("/api/conversations", "limit=ten", 422, "invalid_request", "limit"),
    query("/api/conversations", "limit=" + "9" * 500, 422, "invalid_request", "limit"),
    query("/api/conversations", "cursor=x", 400, "invalid_cursor"),
    query("/api/conversations", "cursor=", 400, "invalid_cursor"),
    query("/api/conversations", "cursor=%00", 400, "invalid_cursor"),
    query("/api/conversations", "cursor=%ff", 400, "invalid_cursor"),
    query("/api/conversations", "cursor=" + "x" * 65, 422, "invalid_request", "cursor"),
    query("/api/conversations/{id}/messages", "cursor=AAAA", 400, "invalid_cursor"),
    query("/api/conversations/{id}/messages", "limit=-1", 422, "invalid_request", "limit"),
]
CASES = [*BODIES, *CONVERSATIONS, *CHAT, *PLACES]


@pytest.fixture(scope="module")
def conversation(server: Server) -> str:
    """A conversation of Alice's with one turn."""
    client = server.client("alice")
    conversation = client.conversation(title="kept")
    client.say(conversation["id"], "hello")
    return str(conversation["id"])


def send(client: Client, case: Case, conversation: str) -> httpx2.Response:
    body = case.body if isinstance(case.body, bytes) or case.body is None else json.dumps(case.body).encode()
    return client.http.request(case.method, case.path.replace("{id}", conversation), content=body, headers=case.headers)


def rows(server: Server) -> list[int]:
    return [server.db.count(table) for table in TABLES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_and_nothing_is_written(
    client: Client, server: Server, provider: Provider, conversation: str, case: Case
) -> None:
    before, read = rows(server), client.read(conversation)
    assert_problem(send(client, case, conversation), case.status, case.code, case.field)
    assert rows(server) == before
    assert client.read(conversation) == read
    assert not provider.received


def test_none_of_it_is_an_event(client: Client, conversation: str, server_ingest: Ingest) -> None:
    fence(client, server_ingest)
    for case in CASES:
        send(client, case, conversation)
    assert fence(client, server_ingest) == []


def test_a_chunked_body_of_10_mb_is_refused(client: Client, server: Server, conversation: str) -> None:
    def body() -> Iterator[bytes]:
        yield b'{"content": "'
        for _ in range(100):
            yield b"x" * 100_000
        yield b'"}'

    before = rows(server)
    response = client.post(f"/api/conversations/{conversation}/messages", content=body(), headers=JSON)
    assert_problem(response, 413, "body_too_large")
    assert rows(server) == before


def test_a_body_that_is_too_large_is_refused_without_a_key_too(server: Server) -> None:
    response = server.client(None).post("/api/chat", content=b"x" * 3_000_000, headers=JSON)
    assert_problem(response, 413, "body_too_large")


def test_the_longest_message_is_accepted(client: Client, provider: Provider) -> None:
    content = "ä" * LIMIT
    response = client.say(client.conversation()["id"], content, model="tokens-1")
    assert response.status_code == 200
    assert provider.last.messages[-1]["content"] == content


def test_text_of_every_kind_is_accepted(client: Client, provider: Provider) -> None:
    content = "line\r\n\ttab \u2028 \ufeff 🌍 e\u0301 \u202e <script> ' \" \\ \x7f \ue000 \U0010ffff"
    conversation = client.conversation()
    assert client.say(conversation["id"], content, model="tokens-1").status_code == 200
    assert provider.last.messages[-1]["content"] == client.messages(conversation["id"])[0]["content"] == content


@pytest.mark.parametrize(
    "raw",
    [
        b'{"metadata": {"n": ' + b"9" * 5000 + b"}}",
        b'{"metadata": {"n": 1e999}}',
        b'{"metadata": {"n": -1E400}}',
        b'{"metadata": ' + b'{"a":' * 150 + b"1" + b"}" * 151,
    ],
    ids=["a huge integer", "infinity", "minus infinity", "150 levels"],
)
def test_odd_metadata_is_stored_or_refused_but_breaks_nothing(client: Client, raw: bytes) -> None:
    response = client.post("/api/conversations", content=raw, headers=JSON)
    assert response.status_code in {201, 400, 422}, response.text
    if response.status_code == 201:
        assert client.read(response.json()["id"]) == response.json()


def test_a_conversation_whose_provider_is_gone_says_so(client: Client, server: Server) -> None:
    conversation = client.conversation()
    server.db.query(
        "UPDATE conversations_conversation SET provider = 'gone' WHERE title = ''"
        " AND id = (SELECT id FROM conversations_conversation ORDER BY id DESC LIMIT 1)"
    )
    assert client.read(conversation["id"])["provider"] == "gone"
    assert_problem(client.say(conversation["id"], "hello"), 400, "unknown_provider")
    assert client.messages(conversation["id"]) == []
    assert client.say(conversation["id"], "hello", provider="fake").status_code == 200


STRANGERS = [
    ("GET", "/api/conversations/{id}", None),
    ("PATCH", "/api/conversations/{id}", {"title": "stolen"}),
    ("DELETE", "/api/conversations/{id}", None),
    ("GET", "/api/conversations/{id}/messages", None),
    ("POST", "/api/conversations/{id}/messages", {"content": "hello"}),
    ("POST", "/api/conversations/{id}/messages", {"content": "hello", "stream": True}),
    ("POST", "/api/chat", {"message": "hello", "conversation_id": "{id}"}),
    ("POST", "/api/chat/fake", {"message": "hello", "conversation_id": "{id}", "stream": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), STRANGERS)
def test_somebody_elses_conversation_is_not_found(
    client: Client, stranger: Client, provider: Provider, conversation: str, method: str, path: str, body: Any
) -> None:
    before = client.read(conversation), client.messages(conversation)
    body = json.loads(json.dumps(body).replace("{id}", conversation))
    response = stranger.http.request(method, path.replace("{id}", conversation), json=body)
    assert_problem(response, 404, "conversation_not_found")
    assert (client.read(conversation), client.messages(conversation)) == before
    assert not provider.received


def test_somebody_elses_conversation_is_not_listed(client: Client, stranger: Client, conversation: str) -> None:
    ids = [item["id"] for item in stranger.get("/api/conversations", params={"limit": 100}).json()["items"]]
    assert conversation not in ids
    assert conversation in [item["id"] for item in client.get("/api/conversations?limit=100").json()["items"]]
