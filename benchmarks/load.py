"""The load: blocking turns over some connections, and many streams at once. One process, on uvloop."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.target import Target

LONGEST = 120
"""Seconds after which a request counts as an error."""


@dataclass
class Load:
    """What the clients saw, times in seconds."""

    errors: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Why streams failed, such as `503`, `no answer` or `cut off after 3 tokens`."""
    wall: float = 0.0
    tokens: int = 0
    latencies: list[float] = field(default_factory=list)
    """Of the whole answers."""
    first: list[float] = field(default_factory=list)
    """From the sending of a request to its first token."""


async def turns(target: Target, *, connections: int, seconds: float = 0, count: int = 0, tokens: int = 50) -> Load:
    """Blocking turns for `seconds`, or `count` of them, by `connections` clients that each keep a connection."""
    load, request, begin = Load(), target.request(tokens=tokens, stream=False), time.perf_counter()
    left = count

    def go_on() -> bool:
        nonlocal left
        left -= 1
        return left >= 0 if count else time.perf_counter() - begin < seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        while go_on():
            start = time.perf_counter()
            try:
                writer.write(request)
                good = await asyncio.wait_for(answered(reader, target.expected), LONGEST)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                good = False
                reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            if good:
                load.latencies.append(time.perf_counter() - start)
            else:
                load.errors += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    load.wall = time.perf_counter() - begin
    return load


async def answered(reader: asyncio.StreamReader, expected: bytes) -> bool:
    """Whether the answer, which is read to its end, is a 200 with `expected` in it."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := re.search(rb"content-length: *(\d+)", head, re.IGNORECASE):
        body = await reader.readexactly(int(length[1]))
    else:
        body = await chunks(reader)
    return head.startswith(b"HTTP/1.1 200") and expected in body


async def chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def streams(target: Target, *, count: int, tokens: int = 50) -> Load:
    """`count` streamed turns, all begun at once. One that does not bring every token is an error."""
    load, request, begin = Load(), target.request(tokens=tokens, stream=True), time.perf_counter()
    loop = asyncio.get_running_loop()

    async def client() -> None:
        stream = Stream(request)
        try:
            await loop.create_connection(lambda: stream, "127.0.0.1", target.port)
            await asyncio.wait_for(stream.ended, LONGEST)
        except (OSError, TimeoutError):
            pass
        load.tokens += stream.tokens
        if stream.tokens == tokens:
            load.first.append(stream.first - stream.start)
            load.latencies.append(time.perf_counter() - stream.start)
        else:
            load.errors += 1
            load.kinds[stream.failure()] += 1

    await asyncio.gather(*(client() for _ in range(count)))
    load.wall = time.perf_counter() - begin
    return load


class Stream(asyncio.Protocol):
    """A streamed turn. Its tokens are counted in the lines that have a delta: our last event repeats the whole text."""

    def __init__(self, request: bytes) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tokens, self.start, self.first = 0, 0.0, 0.0
        self._request, self._rest, self._status = request, b"", ""

    def failure(self) -> str:
        if self._status in ("", "200"):
            return f"cut off after {self.tokens} tokens" if self._status else "no answer"
        return self._status

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.start = time.perf_counter()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._status = self._status or data[9:12].decode(errors="replace")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and b'"delta"' in line:
                self.tokens += line.count(b"tok ")
                if self.tokens and not self.first:
                    self.first = time.perf_counter()
            elif line == b"0\r":  # the last chunk
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
