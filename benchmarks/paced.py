"""What live streams cost a worker: CPU and memory, while a provider sends tokens at the pace of a model.

    .venv/bin/python -m benchmarks.paced [--streams N ...] [--rate TOKENS_A_SECOND] [--seconds S]

One gunicorn worker on the tests' PostgreSQL, with Sentry at rate 0.1 to a loopback endpoint. For each number of
streams, that many turns are opened and kept open; once every one has its first token, the worker's CPU time is read
over S seconds (from /proc: Linux only). Memory is what its resident set has grown by since there was no stream; the
first row has what the worker loads once.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.sentry_overhead import cpu_seconds, prepare
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.postgres import postgres
from tests.fakes.server import Server

FOR_EVER = 600
"""Seconds after which a stream would end by itself."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float) -> None:
    """Answers one request as a model does, token by token, until its client leaves."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        piece = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        piece["choices"] = [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]  # type: ignore[assignment]
        line = f"data: {json.dumps(piece)}\n\n".encode()
        for _ in range(int(FOR_EVER * rate)):
            writer.write(line)
            await writer.drain()
            await asyncio.sleep(1 / rate)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class Listener:
    """A client with one open stream; counts the deltas that it gets."""

    def __init__(self) -> None:
        self.deltas = 0

    async def listen(self, port: int, key: str) -> None:
        body = json.dumps({"message": "Go on.", "stream": True}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            while data := await reader.read(65_536):
                self.deltas += data.count(b"event: message.delta")
        finally:
            writer.close()


def resident(server: Server) -> float:
    """MiB of the worker."""
    pages = int(Path(f"/proc/{server.workers()[0]}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(server: Server, key: str, streams: int, rate: float, seconds: float) -> None:
    before = resident(server)
    listeners = [Listener() for _ in range(streams)]
    port = int(server.url.rsplit(":", 1)[1])
    tasks = [asyncio.create_task(each.listen(port, key)) for each in listeners]
    async with asyncio.timeout(120):
        while not all(each.deltas for each in listeners):
            assert not any(task.done() for task in tasks), server.log()[-2_000:]
            await asyncio.sleep(0.1)
    cpu, started, count = cpu_seconds(server), time.perf_counter(), sum(each.deltas for each in listeners)
    await asyncio.sleep(seconds)
    cpu, wall = cpu_seconds(server) - cpu, time.perf_counter() - started
    came = sum(each.deltas for each in listeners) - count
    memory = (resident(server) - before) * 1024 / streams
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    each = f"{came / wall / streams:>15.1f}{cpu / wall:>12.0%}"
    print(f"{streams:>8}{each}{cpu / came * 1e6:>14.0f}{cpu / wall / streams * 1e3:>20.2f}{memory:>15.0f}")


async def run(server: Server, key: str, arguments: argparse.Namespace) -> None:
    titles = f"{'events/s each':>15}{'of a core':>12}{'us an event':>14}{'CPU ms/s a stream':>20}{'KiB a stream':>15}"
    print(f"{'streams':>8}{titles}")
    for streams in arguments.streams:
        await measure(server, key, streams, arguments.rate, arguments.seconds)
        await asyncio.sleep(3)  # until the turns are stored


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[10, 25, 50, 100])
    parser.add_argument("--rate", type=float, default=30, help="tokens a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement (%(default)s)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        databases = Databases(folder, stack.enter_context(postgres()))
        ingest = stack.enter_context(Ingest())
        provider = await asyncio.start_server(lambda r, w: provide(r, w, arguments.rate), "127.0.0.1", 0)
        port = provider.sockets[0].getsockname()[1]
        environment = {"CHAT_PROVIDERS": "fake", "CHAT_DEFAULT_PROVIDER": "fake", "FAKE_MODEL": "m"}
        environment |= {"FAKE_BASE_URL": f"http://127.0.0.1:{port}/v1", "CHAT_TURN_TIMEOUT": str(FOR_EVER)}
        environment |= {"SENTRY_DSN": ingest.dsn, "SENTRY_TRACES_SAMPLE_RATE": "0.1"}
        environment |= {"SENTRY_PROFILES_SAMPLE_RATE": "0", "CHAT_RETRIES": "0"}
        server = stack.enter_context(Server(databases.new(), databases.keys, **environment))
        await run(server, databases.keys["alice"], arguments)


if __name__ == "__main__":
    asyncio.run(main())
