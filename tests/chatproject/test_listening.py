"""The workers share the connections that arrive, and none waits for a worker that takes nothing."""

import asyncio
import errno
import os
import signal
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatproject import connections, listening, load
from chatproject.listening import Listener
from chatproject.load import Load
from tests.conftest import StartServer
from tests.fakes.server import READY, Server
from tests.fakes.tls import serving
from tests.fakes.waiting import poll

Connect = Callable[[int], list[socket.socket]]
Received = asyncio.Future[bytes]

CONNECTIONS = 32
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def pair(start_server: StartServer) -> Server:
    server = start_server(WEB_CONCURRENCY="2")
    poll(lambda: len(READY.findall(server.log())) == 2, 30, "second worker")
    return server


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def ask(connection: socket.socket) -> None:
    """Asks something, so that a worker has it."""
    connection.settimeout(20)
    connection.sendall(HEALTH)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.fixture
def connect(pair: Server) -> Iterator[Connect]:
    """Makes so many connections, one after the other, and closes them in the end."""
    with ExitStack() as stack:

        def make(count: int) -> list[socket.socket]:
            made = []
            for _ in range(count):
                made.append(stack.enter_context(socket.create_connection(("127.0.0.1", port_of(pair)), timeout=20)))
                ask(made[-1])
            return made

        yield make


def worker_of(server: Server, connection: socket.socket) -> int:
    """The process id of the worker that has it."""
    ends = [f":{port:04X}" for port in (port_of(server), connection.getsockname()[1])]
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [inode] = [line[9] for line in lines if [line[1][8:], line[2][8:]] == ends]
    return next(pid for pid in server.workers() if f"socket:[{inode}]" in opened(pid))


def opened(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(descriptor))
    return found


def test_each_worker_gets_its_share(pair: Server, connect: Connect) -> None:
    made = connect(CONNECTIONS)
    shares = Counter(worker_of(pair, connection) for connection in made)
    assert min(shares.values()) >= CONNECTIONS // 3, shares
    assert len(shares) == 2


def test_a_worker_whose_connections_have_ended_gets_the_next(pair: Server, connect: Connect) -> None:
    made = connect(CONNECTIONS)
    one, other = pair.workers()
    for connection in made:
        if worker_of(pair, connection) == one:
            connection.close()
        else:
            ask(connection)  # or it would be closed as idle
    shares = Counter(worker_of(pair, connection) for connection in connect(10))
    assert shares[one] > shares[other], shares


def test_a_worker_that_takes_nothing_keeps_nobody_waiting(pair: Server, connect: Connect) -> None:
    stuck, _ = pair.workers()
    os.kill(stuck, signal.SIGSTOP)
    try:
        assert len(connect(CONNECTIONS)) == CONNECTIONS
    finally:
        os.kill(stuck, signal.SIGCONT)


class Workers:
    """Numbers of three workers, with the first one's view of them."""

    def __init__(self) -> None:
        self.all = [Load() for _ in range(3)]
        for number, one in enumerate(self.all):
            one._turns, one._connections = self.all[0]._turns, self.all[0]._connections
            one.begin(number)

    def have(self, *counts: int) -> int:
        """How much room the first one has when they have so many connections."""
        for one, count in zip(self.all, counts, strict=False):
            one.listen()
            for _ in range(count):
                one.connected()
        return self.all[0].room


def test_a_worker_alone_has_room() -> None:
    assert Workers().have(1_000) == load.ALONE


@pytest.mark.parametrize(
    ("counts", "room"), [((0, 0, 0), 1), ((1, 0, 2), 0), ((2, 9, 9), 1), ((40, 10, 50), -28), ((80, 80, 80), 11)]
)
def test_a_worker_has_room_up_to_a_few_more_than_the_one_with_the_fewest(counts: tuple[int, ...], room: int) -> None:
    assert Workers().have(*counts) == room


def test_a_worker_that_listens_no_more_does_not_count() -> None:
    workers = Workers()
    assert workers.have(5, 0, 5) < 1
    workers.all[1].listen_no_more()
    assert workers.all[0].room == 1
    workers.all[0].end(2)  # it was killed
    assert workers.all[0].room == load.ALONE


class Greeted(asyncio.Protocol):
    """Notes what it is sent."""

    def __init__(self, received: Received) -> None:
        self.received = received

    def data_received(self, data: bytes) -> None:
        self.received.set_result(data)


@pytest.fixture
def own_load(monkeypatch: pytest.MonkeyPatch) -> Load:
    own = Load()
    monkeypatch.setattr(listening, "load", own)
    return own


@asynccontextmanager
async def listener_with(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Listener, int, Received]]:
    """A listener that has not started, its port, and the first thing that one of its connections is sent."""
    loop = asyncio.get_running_loop()
    received: Received = loop.create_future()
    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener(loop, lambda: Greeted(received), sock, tls)
    try:
        yield listener, sock.getsockname()[1], received
    finally:
        listener.close()


def test_what_waits_to_be_accepted_is_taken_before_the_listener_closes(own_load: Load) -> None:
    async def last() -> bytes:
        async with listener_with() as (listener, port, received):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"hello")
                connections.stop_listening(SimpleNamespace(servers=[listener]))
                return await asyncio.wait_for(received, 10)

    assert asyncio.run(last()) == b"hello"


def test_a_worker_without_room_for_a_connection_says_so_and_looks_again(
    own_load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "RELIEF", 0.01)

    class Full:
        """A socket that has no descriptors left for the first connection."""

        def __init__(self, sock: socket.socket) -> None:
            self._sock, self._refused = sock, False

        def accept(self) -> tuple[socket.socket, object]:
            if not self._refused:
                self._refused = True
                raise OSError(errno.EMFILE, "Too many open files")
            return self._sock.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self._sock, name)

    async def first() -> bytes:
        async with listener_with() as (listener, port, received):
            monkeypatch.setattr(listener, "_sock", Full(listener._sock))
            listener.start()
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"hello")
                return await asyncio.wait_for(received, 10)

    assert asyncio.run(first()) == b"hello"
    assert caplog.messages == ["no connection can be accepted: Too many open files"]


def test_a_connection_whose_tls_fails_is_not_counted_for_ever(
    own_load: Load, monkeypatch: pytest.MonkeyPatch, self_signed: Path
) -> None:
    tls = serving(self_signed)

    async def refused() -> None:
        gone = asyncio.Event()
        monkeypatch.setattr(own_load, "disconnected", gone.set)
        async with listener_with(tls) as (listener, port, _):
            listener.start()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"this is no TLS" * 10)
            await asyncio.wait_for(gone.wait(), 10)
            writer.close()

    asyncio.run(refused())


def test_a_closed_listener_waits_for_the_handshakes_that_have_begun(own_load: Load, self_signed: Path) -> None:
    tls = serving(self_signed)

    async def last() -> None:
        async with listener_with(tls) as (listener, port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            listener.take_all()
            listener.close()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listener.wait_closed(), 0.05)
            writer.close()
            await asyncio.wait_for(listener.wait_closed(), 10)

    asyncio.run(last())
