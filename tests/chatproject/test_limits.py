"""What a client may send before anybody knows who it is: headers, bodies, and how long it may take."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from tests.conftest import fake
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.provider import Provider
from tests.fakes.server import Server

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def hasty(databases: Databases, _provider: Provider) -> Iterator[Server]:
    """One that waits for a body for a second."""
    with Server(databases.new(), databases.keys, **fake(_provider), CHAT_BODY_TIMEOUT="1") as server:
        yield server


def connect(server: Server) -> socket.socket:
    where = httpx2.URL(server.url)
    return socket.create_connection((where.host, where.port), timeout=15)


def ask(server: Server, *pieces: bytes) -> bytes:
    """What the server answers until it closes or the answer is whole."""
    with connect(server) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:  # it has answered already, and closed
            pass
        return answer(connection)


def answer(connection: socket.socket) -> bytes:
    got = b""
    try:
        while piece := connection.recv(65_536):
            got += piece
            head, _, body = got.partition(b"\r\n\r\n")
            if b"content-length: %d" % len(body) in head.lower():
                break
    except ConnectionResetError:
        pass
    return got


def status(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("name", "request_bytes", "expected"),
    [
        ("a header of 8,000 bytes", GET + b"X-A: " + b"a" * 8_000 + b"\r\n\r\n", 200),
        ("a header of 1 MB", GET + b"X-A: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
        ("60 headers", GET + b"".join(b"X-%d: a\r\n" % n for n in range(60)) + b"\r\n", 200),
        ("10,000 headers", GET + b"".join(b"X-%d: a\r\n" % n for n in range(10_000)) + b"\r\n", 431),
        ("a URL of 8,000 bytes", b"GET /health?" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("a URL of 1 MB", b"GET /health?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        ("5 MB of no line", b"G" * 5_000_000, 414),
        ("two lengths", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        ("a length and chunks", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("a chunk of no size", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
        ("two hosts", GET + b"Host: evil.example.com\r\n\r\n", 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_too_much_or_ambiguous_is_refused(
    server: Server, name: str, request_bytes: bytes, expected: int
) -> None:
    assert status(ask(server, request_bytes)) == expected


def test_a_connection_without_a_whole_request_is_closed(server: Server) -> None:
    started = time.monotonic()
    with connect(server) as one, connect(server) as two, connect(server) as three:
        for connection, beginning in ((one, b""), (two, GET), (three, GET + b"X-A: a")):
            connection.sendall(beginning)
        assert [answer(connection) for connection in (one, two, three)] == [b""] * 3
    assert 2 < time.monotonic() - started < 12


def test_a_header_that_comes_byte_by_byte_is_not_waited_for(server: Server) -> None:
    started = time.monotonic()
    with connect(server) as connection, suppress(OSError):
        while time.monotonic() - started < 12:
            connection.sendall(b"G")
            time.sleep(0.2)  # a slow client is what this is about
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "head", [POST + b"Content-Length: 1000\r\n\r\n{", POST + b"Content-Length: 9" + b"9" * 20 + b"\r\n\r\n"]
)
def test_a_body_that_does_not_come_is_a_408(hasty: Server, head: bytes) -> None:
    got = ask(hasty, head)
    assert status(got) == 408
    head, _, body = got.partition(b"\r\n\r\n")
    assert json.loads(body)["code"] == "body_too_slow"
    assert b"connection: close" in head.lower()


def test_a_body_without_end_is_ended(hasty: Server) -> None:
    """However quickly it comes: what is more than the limit is thrown away, but not for ever."""
    started = time.monotonic()
    with connect(hasty) as connection, suppress(OSError):
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        while time.monotonic() - started < 12:
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert time.monotonic() - started < 10


def test_a_slow_upload_holds_nobody_up(hasty: Server) -> None:
    with connect(hasty) as slow:
        slow.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        assert hasty.client().get("/health").status_code == 200
        assert status(answer(slow)) == 408
    turn: Any = hasty.client().post("/api/chat", json={"message": "hello"})
    assert turn.status_code == 200


def test_the_connection_is_good_for_another_request(client: Client) -> None:
    for _ in range(3):
        assert client.post("/api/chat", json={"message": "hello", "model": "tokens-1"}).status_code == 200
