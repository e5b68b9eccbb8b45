"""The end of a worker's connections loses no request that has arrived."""

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from chatproject import connections


class Accepted(asyncio.Protocol):
    """In the place of gunicorn's."""

    def __init__(self, worker: SimpleNamespace) -> None:
        self._worker = worker

    def data_received(self, data: bytes) -> None:
        self._worker.received.set_result(data)


def test_what_waits_to_be_accepted_is_taken_before_the_listener_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "Impatient", Accepted)

    async def last() -> bytes:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        server = await loop.create_server(asyncio.Protocol, sock=listener, start_serving=False)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"hello")
            worker = SimpleNamespace(
                loop=loop, sockets=[SimpleNamespace(sock=listener)], servers=[server], received=loop.create_future()
            )
            connections.stop_listening(worker)
            return bytes(await asyncio.wait_for(worker.received, 10))

    assert asyncio.run(last()) == b"hello"


class Connection:
    """One that may be closed, and its client."""

    def __init__(self, *, idle: bool = True) -> None:
        self._socket, self.client = socket.socketpair()
        self.fileno = self._socket.fileno()
        self.idle = idle
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._socket.close()
        self.client.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Connection]]:
    """Idle, idle with a request that has just arrived, busy."""
    open_ = [Connection(), Connection(), Connection(idle=False)]
    monkeypatch.setattr(connections, "_made", open_)
    yield open_
    for connection in open_:
        connection.close()


def test_idle_connections_are_closed_unless_a_request_has_arrived(made: list[Connection]) -> None:
    made[1].client.sendall(b"GET / HTTP/1.1")
    connections.close_idle()
    assert [connection.closed for connection in made] == [True, False, False]
