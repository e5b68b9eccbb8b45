"""The tests' client of the API: JSON calls, event streams, and leaving in the middle."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from tests.fakes.waiting import poll

TIMEOUT = 20.0
"""Seconds of silence after which a test fails instead of hanging."""

Json = dict[str, Any]


class Event(NamedTuple):
    name: str
    id: int
    data: Json


class Stream:
    """An open event stream. `response` bears status and headers."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
                fields = {}

    def next(self, name: str) -> Event:
        """The next event, which must be called `name`."""
        event = next(iter(self))
        assert event.name == name, event
        return event

    def text(self, wanted: str) -> str:
        """Reads deltas until their text ends with `wanted`."""
        text = ""
        while not text.endswith(wanted):
            text += self.next("message.delta").data["delta"]
        return text


class Client:
    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False)
        self.get = self.http.get
        self.post = self.http.post
        self.patch = self.http.patch
        self.delete = self.http.delete

    def close(self) -> None:
        self.http.close()

    def conversation(self, **fields: Any) -> Json:
        """A new conversation."""
        response = self.post("/api/conversations", json=fields)
        assert response.status_code == 201, response.text
        return dict(response.json())

    def read(self, conversation_id: str) -> Json:
        response = self.get(f"/api/conversations/{conversation_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def messages(self, conversation_id: str) -> list[Json]:
        response = self.get(f"/api/conversations/{conversation_id}/messages", params={"limit": 100})
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    def wait_saved(self, conversation_id: str, text: str) -> None:
        """Waits until the last message, whose turn runs, is stored with this text."""
        poll(lambda: [m["content"] for m in self.messages(conversation_id)][-1:] == [text], what=f"text {text[:20]!r}")

    def say(self, conversation_id: str, content: str, **fields: Any) -> httpx2.Response:
        """A blocking turn."""
        return self.post(f"/api/conversations/{conversation_id}/messages", json={"content": content, **fields})

    @contextmanager
    def stream(self, conversation_id: str, content: str, **fields: Any) -> Iterator[Stream]:
        """A streamed turn; the end of the `with` leaves it."""
        body = {"content": content, "stream": True, **fields}
        with self.http.stream("POST", f"/api/conversations/{conversation_id}/messages", json=body) as response:
            assert response.status_code == 200, response.read()
            yield Stream(response)

    def events(self, conversation_id: str, content: str, **fields: Any) -> list[Event]:
        """A whole streamed turn."""
        with self.stream(conversation_id, content, **fields) as stream:
            return list(stream)

    @contextmanager
    def asking(self, conversation_id: str, content: str, **fields: Any) -> Iterator[None]:
        """A blocking turn whose answer nobody reads; the end of the `with` leaves it."""
        body = json.dumps({"content": content, **fields})
        with self.raw(f"POST /api/conversations/{conversation_id}/messages", body):
            yield

    @contextmanager
    def raw(self, request_line: str, body: str | bytes = b"", **headers: str) -> Iterator[socket.socket]:
        """A request written by hand, on a connection of its own."""
        where = urlsplit(self.url)
        payload = body.encode() if isinstance(body, str) else body
        lines = {
            "Host": "127.0.0.1",
            "Authorization": self.http.headers.get("Authorization", ""),
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with socket.create_connection((where.hostname, where.port), TIMEOUT) as connection:
            connection.sendall(f"{request_line} HTTP/1.1\r\n{head}\r\n".encode() + payload)
            yield connection


def assert_problem(response: httpx2.Response, status: int, code: str, field: str | None = None) -> Json:
    """Asserts on a problem document, and on the field that it names, and returns it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = dict(response.json())
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["type"] == f"urn:problem:chat-api:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]], problem
        assert field in problem["detail"]
    return problem
