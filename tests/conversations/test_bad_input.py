"""Bad input: each a problem document with the right 4xx and the field named, nothing written, no event in Sentry."""

import json
from base64 import b64encode
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


def content(name: str, value: Any, at: str = "") -> Case:
    return Case(f"content {name}", {"content": value}, 422, "invalid_request", f"content{at}")


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", **fields}}


def tools(name: str, value: Any, at: str) -> Case:
    return Case(f"tools {name}", {"content": "x", "tools": value}, 422, "invalid_request", f"tools{at}")


def choice(name: str, value: Any, at: str) -> Case:
    body = {"content": "x", "tools": [function()], "tool_choice": value}
    return Case(f"tool_choice {name}", body, 422, "invalid_request", f"tool_choice{at}")


def answer_format(name: str, value: Any, at: str) -> Case:
    body = {"content": "x", "response_format": value}
    return Case(f"response_format {name}", body, 422, "invalid_request", f"response_format{at}")


def results(name: str, value: Any, at: str) -> Case:
    return Case(f"tool_results {name}", {"tool_results": value}, 422, "invalid_request", f"tool_results{at}")


def parameter(name: str, value: Any) -> Case:
    return Case(f"{name} {value!r:.20}", {"content": "x", name: value}, 422, "invalid_request", name)


def creation(name: str, label: str, value: Any, where: str = "") -> Case:
    return Case(f"new {name} {label}", {name: value}, 422, "invalid_request", name + where, path="/api/conversations")


def broken(name: str, raw: bytes) -> Case:
    return Case(f"body {name}", raw, 400, "invalid_json")


def query(path: str, query: str, status: int, code: str, field: str | None = None) -> Case:
    return Case(f"query {query:.20}", None, status, code, field, path=f"{path}?{query}", method="GET", headers={})


PNG = b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode()
BAD_URLS = [
    "javascript:alert(1)",
    " javascript:alert(1)",
    "http://example.com/a.png",
    "HTTPS://example.com/a.png",
    "file:///etc/passwd",
    "//example.com/a.png",
    "a.png",
    "",
    "https://",
    "https:///a.png",
    "https://[::1/a.png",
    "https://example.com/a b.png",
    "https://example.com/\x00",
    "https://example.com/ü.png",
    "https://example.com/\njavascript:alert(1)",
    "https://example.com/" + "x" * 2_000,
    f"data:image/jpeg;base64,{PNG}",
    f"data:image/svg+xml;base64,{PNG}",
    f"data:text/html;base64,{PNG}",
    f"data:image/png,{PNG}",
    f"data:image/png;charset=x;base64,{PNG}",
    "data:image/png;base64,",
    "data:image/png;base64,####",
    f"data:image/png;base64,{PNG}=",
    f"data:image/png;base64,{PNG[:-2]}",
    f"data:image/png;base64,{PNG}\n",
    f"data:image/png;base64,{PNG[:8]} {PNG[8:]}",
    f'data:image/png;base64,{PNG}"><script>',
    f"data:image/png;base64,{PNG}ü",
    "data:image/png;base64,iVBORw0KGgo" + "A" * 1_400_001,
    "data:image/webp;base64," + b64encode(b"RIFF1234WAVE").decode(),
    "data:image/gif;base64," + b64encode(b"GIF88a").decode(),
]
BAD_TOOLS = [
    ("empty", [], ""),
    ("an object", {}, ""),
    ("129", [function(name=f"f{number}") for number in range(129)], ""),
    ("of much", [1] * 100_000, ".0"),
    ("of the same name", [function(), function()], ""),
    ("of another type", [{"type": "code", "function": {"name": "x"}}], ".0.type"),
    ("without a type", [{"function": {"name": "x"}}], ".0.type"),
    ("without a function", [{"type": "function"}], ".0.function"),
    ("with more", [{**function(), "cache": True}], ".0.cache"),
    ("without a name", [{"type": "function", "function": {}}], ".0.function.name"),
    ("with a space in the name", [function(name="the weather")], ".0.function.name"),
    ("with a line in the name", [function(name="weather\n")], ".0.function.name"),
    ("with a long name", [function(name="x" * 65)], ".0.function.name"),
    ("with NUL in the description", [function(description="\x00")], ".0.function.description"),
    ("with odd parameters", [function(parameters="{}")], ".0.function.parameters"),
    ("with NUL deep inside", [function(parameters={"a": [{"b\x00": 1}]})], ".0.function.parameters"),
    ("with odd strictness", [function(strict="yes")], ".0.function.strict"),
]
BEYOND = b'{"content": "x", "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": -1e999}}}]}'
RESULT = {"tool_call_id": "call_1", "content": "sunny"}
BAD_CHOICES = [
    ("of no known kind", "sometimes", ""),
    ("a list", ["auto"], ""),
    ("of no tool", {"type": "function", "function": {"name": "time"}}, ""),
    ("with a bad name", {"type": "function", "function": {"name": "a b"}}, ".function.name"),
    ("without a function", {"type": "function"}, ".function"),
]
BAD_FORMATS = [
    ("a string", "json_object", ""),
    ("of no known type", {"type": "xml"}, ".type"),
    ("without a type", {}, ".type"),
    ("without a schema", {"type": "json_schema"}, ""),
    ("with a schema too many", {"type": "text", "json_schema": {"name": "a", "schema": {}}}, ""),
    ("of an empty schema", {"type": "json_schema", "json_schema": {"name": "a"}}, ".json_schema.schema"),
    ("with a bad name", {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, ".json_schema.name"),
    ("with NUL", {"type": "json_schema", "json_schema": {"name": "a", "schema": {"\x00": 1}}}, ".json_schema.schema"),
]
BAD_RESULTS = [
    ("an object", {}, ""),
    ("of strings", ["sunny"], ".0"),
    ("of much", [1] * 100_000, ".0"),
    ("of the same call", [{"tool_call_id": "a", "content": "x"}] * 2, ""),
    ("too many", [{"tool_call_id": str(number), "content": "x"} for number in range(129)], ""),
    ("without an id", [{"content": "x"}], ".0.tool_call_id"),
    ("with an empty id", [{"tool_call_id": "", "content": "x"}], ".0.tool_call_id"),
    ("with NUL in the id", [{"tool_call_id": "\x00", "content": "x"}], ".0.tool_call_id"),
    ("with a long id", [{"tool_call_id": "x" * 129, "content": "x"}], ".0.tool_call_id"),
    ("without content", [{"tool_call_id": "a"}], ".0.content"),
    ("of no text", [{"tool_call_id": "a", "content": {"sunny": True}}], ".0.content"),
    ("with NUL", [{"tool_call_id": "a", "content": "a\x00"}], ".0.content"),
    ("too long", [{"tool_call_id": "a", "content": "x" * (LIMIT + 1)}], ".0.content"),
]
BODIES = [
    content("empty", ""),
    content("blank", " \n\t\u2003"),
    content("too long", "x" * (LIMIT + 1)),
    content("a number", 5),
    content("null", None),
    content("an empty list", []),
    content("a list of much", ["x"] * 100_000, at=".0"),
    content("a list of strings", ["hello"], at=".0"),
    content("a list of nothing", [{}], at=".0"),
    content("a part of no known type", [{"type": "audio", "audio": "x"}], at=".0"),
    content("a part whose type is a list", [{"type": ["text"]}], at=".0"),
    content("a text part without text", [{"type": "text"}], at=".0.text"),
    content("a text part that is a number", [{"type": "text", "text": 5}], at=".0.text"),
    content("a blank text part", [{"type": "text", "text": " "}], at=".0.text"),
    content("a text part with NUL", [{"type": "text", "text": "a\x00"}], at=".0.text"),
    content("a text part with more", [{"type": "text", "text": "x", "cache": 1}], at=".0.cache"),
    content("text parts that are too long", [{"type": "text", "text": "x" * (LIMIT // 2)}] * 2),
    content("too many parts", [{"type": "text", "text": "x"}] * 101),
    content("too many images", [image("https://example.com/a.png")] * 11),
    content("an image without a url", [{"type": "image_url", "image_url": {}}], at=".0.image_url.url"),
    content("an image that is a string", [{"type": "image_url", "image_url": "https://a.b/c"}], at=".0.image_url"),
    content("an image with more", [image("https://a.b/c", size=1)], at=".0.image_url.size"),
    content("an image with odd detail", [image("https://a.b/c", detail="most")], at=".0.image_url.detail"),
    *(content(f"an image at {url:.40}", [image(url)], at=".0.image_url") for url in BAD_URLS),
    content("an object", {"text": "hello"}),
    content("with NUL", "a\x00b"),
    Case("content missing", {}, 422, "invalid_request", "content"),
    Case("no content, no results", {"tool_results": []}, 422, "invalid_request", "content"),
    Case("results of nothing", {"tool_results": [RESULT]}, 409, "tool_results_mismatch"),
    Case("results of nothing, content", {"content": "x", "tool_results": [RESULT]}, 409, "tool_results_mismatch"),
    Case("parameter beyond floats", BEYOND, 422, "invalid_request", "tools.0.function.parameters"),
    Case("unknown field", {"content": "x", "contents": "y"}, 422, "invalid_request", "contents"),
    *(tools(name, value, at) for name, value, at in BAD_TOOLS),
    *(choice(name, value, at) for name, value, at in BAD_CHOICES),
    *(answer_format(name, value, at) for name, value, at in BAD_FORMATS),
    *(results(name, value, at) for name, value, at in BAD_RESULTS),
    parameter("tool_choice", "auto"),
    parameter("tool_choice", {"type": "function", "function": {"name": "weather"}}),
    parameter("parallel_tool_calls", True),
    parameter("parallel_tool_calls", "yes"),
    parameter("reasoning", "yes"),
    parameter("reasoning", 1),
    parameter("reasoning", None),
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
CHAT_IMAGE = "message.0.image_url"
CHAT = [
    Case("chat empty", {"message": ""}, 422, "invalid_request", "message", "/api/chat"),
    Case("chat missing", {}, 422, "invalid_request", "message", "/api/chat"),
    Case("chat image", {"message": [image("http://a.b/c")]}, 422, "invalid_request", CHAT_IMAGE, "/api/chat"),
    Case("chat results", {"tool_results": [RESULT]}, 422, "invalid_request", "conversation_id", "/api/chat"),
    Case(
        "chat results elsewhere",
        {"tool_results": [RESULT], "conversation_id": NOWHERE},
        404,
        "conversation_not_found",
        path="/api/chat",
    ),
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
