"""A provider for the tests: an OpenAI-compatible server on loopback that streams, and misbehaves on request.

The model that a request names chooses the behaviour; see `behaviours.py`. Every request is kept, with whether its
client hung up on it.
"""

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.fakes import behaviours
from tests.fakes.exchange import Exchange
from tests.fakes.waiting import poll

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: close() sends a reset instead of what is still buffered."""


@dataclass(eq=False)
class Received:
    """A request that the provider got, and how it went on."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    raw: bytes
    answered: threading.Event = field(default_factory=threading.Event)
    """Set when the whole answer is written."""
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when the client closed the connection before that."""

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else {}

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])


class Provider:
    """Runs from `with` to its end, in a thread of its own."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        """How many were made so far."""
        self.holds_models = False
        """Whether the list of models hangs as well."""
        self._asked: Counter[str] = Counter()
        """How often, by model."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-provider", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._gate = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.url = ""
        """The base URL, ending in /v1."""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # What a test does with it.

    def release(self) -> None:
        """Lets the answers that hang go on."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def clear(self) -> None:
        """As new: forgets the requests; answers hang again."""
        self.received.clear()
        self._asked.clear()
        self.connections = 0
        self.holds_models = False
        self._loop.call_soon_threadsafe(self._gate.clear)

    def kill(self) -> None:
        """Dies: every connection is reset, new ones are refused."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result(5)

    def wait(self, count: int = 1, seconds: float = 10) -> Received:
        """The `count`th chat request, as soon as it is here."""
        poll(lambda: len(self.chats) >= count, seconds, "request")
        return self.chats[count - 1]

    @property
    def open_connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    @property
    def chats(self) -> list[Received]:
        return [r for r in self.received if r.path.endswith("/chat/completions")]

    @property
    def last(self) -> Received:
        return self.chats[-1]

    # The server.

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _die(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            reset(writer)
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection can take another."""
        request = await read_request(reader)
        self.received.append(request)
        answer = asyncio.create_task(self._answer(request, writer))
        # Nothing more comes while an answer is on its way, so that a read ends only when the client has gone.
        left = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() or answer.exception() is not None:
                request.hung_up.set()
                return False
            request.answered.set()
            return answer.result()
        finally:
            for task in (answer, left):
                task.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can take another request. Raises ConnectionError when the client has gone."""
        model = request.body.get("model", "")
        exchange = Exchange(writer, self._gate, request.body, self._asked[model])
        self._asked[model] += 1
        if request.path.endswith("/models"):
            if self.holds_models:
                await exchange.held()
            await exchange.json(200, {"object": "list", "data": [{"id": name} for name in behaviours.NAMES]})
        else:
            await behaviours.of(exchange.model)(exchange)
        if exchange.cut:
            reset(writer)
        return not exchange.cut and not exchange.close


async def read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.strip().split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, raw)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
