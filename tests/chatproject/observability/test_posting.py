"""One connection to Sentry, against a server on loopback that answers what the test has written."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop

from chatproject.observability import posting
from chatproject.observability.posting import READ, Poster
from tests.fakes.ports import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSES = b""
"""In the place of an answer: the connection's end."""
HANGS = None
"""In the place of an answer: none ever comes."""

Scenario = Callable[["Scripted"], Coroutine[Any, Any, None]]


class Scripted:
    """Answers each request with the next of `answers`, and closes the connection after one that says so."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self._answers = list(answers)
        self.requests: list[tuple[bytes, bytes]] = []
        """Head and body of each."""
        self.connections = 0
        self.port = 0

    @property
    def poster(self) -> Poster:
        return Poster(f"http://key@127.0.0.1:{self.port}/api/1/envelope/", ssl.create_default_context(), timeout=0.5)

    async def run(self, scenario: Scenario) -> None:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            await scenario(self)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                self.requests.append((head, await reader.readexactly(int(length[1]))))
                answer = self._answers.pop(0)
                if answer is HANGS:
                    await reader.read()
                writer.write(answer or b"")
                if not answer or b"Content-Length" not in answer or b"close" in answer:
                    return
        except asyncio.IncompleteReadError:
            pass  # it has left
        finally:
            writer.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[..., Scripted]:
    """Runs the scenario against a server with these answers."""

    def run(scenario: Scenario, *answers: bytes | None) -> Scripted:
        server = Scripted(answers)
        (uvloop.run if request.param == "uvloop" else asyncio.run)(server.run(scenario))
        return server

    return run


Play = Callable[..., Scripted]


def test_it_posts_to_the_address_without_the_key_in_it(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        response = await server.poster.post({"Content-Type": "x", "A": "b"}, b"the body")
        assert (response.status, response.headers, response.data) == (200, {"content-length": "2"}, b"{}")

    server = play(scenario, OK)
    [(head, body)] = server.requests
    host = f"Host: 127.0.0.1:{server.port}"
    lines = ["POST /api/1/envelope/ HTTP/1.1", host, "Content-Type: x", "A: b", "Content-Length: 8", "", ""]
    assert head.decode().split("\r\n") == lines
    assert body == b"the body"


def test_a_connection_is_kept(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        poster = server.poster
        assert [(await poster.post({}, b"x")).status for _ in range(3)] == [200, 429, 200]

    assert play(scenario, OK, OK.replace(b"200 OK", b"429 Too Many"), OK).connections == 1


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
    ],
    ids=["close", "1.0", "no length"],
)
def test_one_that_the_server_ends_is_followed_by_another(play: Play, last: bytes) -> None:
    async def scenario(server: Scripted) -> None:
        poster = server.poster
        for _ in range(2):
            response = await poster.post({}, b"x")
            assert (response.status, response.data) == (200, b"{}")

    assert play(scenario, last, OK).connections == 2


def test_one_that_was_closed_just_when_it_was_wanted_costs_nothing(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        poster = server.poster
        for _ in range(2):
            assert (await poster.post({}, b"x")).status == 200

    assert len(play(scenario, OK, CLOSES, OK).requests) == 3


def test_chunks_and_interim_answers_are_understood(play: Play) -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"

    async def scenario(server: Scripted) -> None:
        response = await server.poster.post({}, b"x")
        assert (response.status, response.data) == (200, b"{}")

    play(scenario, b"HTTP/1.1 100 Continue\r\n\r\n" + chunks)


def test_of_a_long_body_no_more_is_read_than_anybody_looks_at(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        poster = server.poster
        response = await poster.post({}, b"x")
        assert response.status == 413
        assert READ < len(response.data) < 1_000_000
        assert (await poster.post({}, b"x")).status == 200

    long = b"HTTP/1.1 413 Too Large\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    assert play(scenario, long, OK).connections == 2


@pytest.mark.parametrize(
    "answer",
    [CLOSES, b"SSH-2.0\r\n", OK[:20], b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"],
    ids=["closes", "no HTTP", "half", "another protocol"],
)
def test_what_is_no_answer_is_an_error(play: Play, answer: bytes) -> None:
    async def scenario(server: Scripted) -> None:
        with pytest.raises(ConnectionError):
            await server.poster.post({}, b"x")

    assert len(play(scenario, answer).requests) == 1


def test_a_server_that_is_silent_is_given_up(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        poster = server.poster
        with pytest.raises(TimeoutError):
            await poster.post({}, b"x")
        assert (await poster.post({}, b"x")).status == 200

    assert play(scenario, HANGS, OK).connections == 2


def test_nobody_there_is_an_error(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        with pytest.raises(ConnectionRefusedError):
            await Poster(f"http://127.0.0.1:{free_port()}/", ssl.create_default_context(), 5).post({}, b"x")

    play(scenario)


def test_a_header_that_comes_twice_is_one_list(play: Play) -> None:
    async def scenario(server: Scripted) -> None:
        response = await server.poster.post({}, b"x")
        assert response.headers["x-sentry-rate-limits"] == "60:transaction:key, 60:error:key"

    twice = b"X-Sentry-Rate-Limits: 60:transaction:key\r\nX-Sentry-Rate-Limits: 60:error:key\r\nContent-Length"
    play(scenario, OK.replace(b"Content-Length", twice))


def test_one_that_was_idle_for_long_is_followed_by_another(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is between may have forgotten it."""
    monkeypatch.setattr(posting, "FRESH", 0.0)

    async def scenario(server: Scripted) -> None:
        poster = server.poster
        for _ in range(2):
            assert (await poster.post({}, b"x")).status == 200

    assert play(scenario, OK, OK).connections == 2


def test_an_address_that_leads_nowhere_is_followed_by_the_next(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is a listener whose queue is full: nobody there takes a connection, nor refuses it."""
    monkeypatch.setattr(posting, "REACHING", 0.1)

    async def scenario(server: Scripted) -> None:
        with ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.2", server.port), backlog=0))
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())

            async def both(*_: Any, **__: Any) -> list[Any]:
                found = [(address, server.port) for address in ("127.0.0.2", "127.0.0.1")]
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

            loop = asyncio.get_running_loop()
            address = f"http://both.invalid:{server.port}/"
            poster = Poster(address, ssl.create_default_context(), 5)
            monkeypatch.setattr(loop, "getaddrinfo", both)
            assert (await poster.post({}, b"x")).status == 200

    play(scenario, OK)
