"""The end of a worker's connections loses no request that has arrived."""

import socket
from collections.abc import Iterator

import pytest

from chatproject import connections


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
