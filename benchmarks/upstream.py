"""What stands behind the measured servers: a fast fake of an OpenAI-compatible provider, and of Sentry.

    python -m benchmarks.upstream PORT [--gap S]

POST /v1/chat/completions answers as many tokens "tok " as the request's `max_tokens` says; streamed, with `gap` seconds
between two of them. POST /api/1/envelope/ takes what Sentry's SDK sends. GET /counts tells how often each was asked.
"""

import argparse
import asyncio
import json
import re
from collections import Counter
from functools import cache
from typing import Any

import uvloop

BASE = {"id": "c", "created": 1, "model": "m"}
TOKEN = "tok "
DEFAULT_TOKENS = 50
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--gap", type=float, default=0)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.gap))


async def serve(port: int, gap: float) -> None:
    """Serves until it is killed. Every connection is kept alive."""
    counts: Counter[str] = Counter(turns=0, envelopes=0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                await answer(writer, head.split(b" ", 2)[1], body, gap, counts)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has left
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", port, backlog=4096) as server:
        await server.serve_forever()


async def answer(writer: asyncio.StreamWriter, path: bytes, body: bytes, gap: float, counts: Counter[str]) -> None:
    if path.endswith(b"/chat/completions"):
        counts["turns"] += 1
        asked = re.search(rb'"max_(?:completion_)?tokens": *(\d+)', body)
        tokens = int(asked[1]) if asked else DEFAULT_TOKENS
        if re.search(rb'"stream": *true', body):
            await stream(writer, tokens, gap)
        else:
            writer.write(completion(tokens))
    elif path == b"/counts":
        writer.write(whole(counts))
    else:
        counts["envelopes"] += b"/envelope/" in path
        writer.write(whole({}))
    await writer.drain()


async def stream(writer: asyncio.StreamWriter, tokens: int, gap: float) -> None:
    writer.write(SSE_HEAD)
    token = event(choices=[{"index": 0, "delta": {"content": TOKEN}, "finish_reason": None}])
    for number in range(tokens):
        if number and gap:
            await asyncio.sleep(gap)
        writer.write(token)
        await writer.drain()
    writer.write(event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    writer.write(event(choices=[], usage=usage(tokens)) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


@cache
def completion(tokens: int) -> bytes:
    message = {"role": "assistant", "content": TOKEN * tokens}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return whole({**BASE, "object": "chat.completion", "usage": usage(tokens), "choices": [choice]})


def whole(document: Any) -> bytes:
    payload = json.dumps(document).encode()
    return JSON_HEAD % len(payload) + payload


def event(**fields: Any) -> bytes:
    return chunk(b"data: " + json.dumps({**BASE, "object": "chat.completion.chunk", **fields}).encode() + b"\n\n")


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}


if __name__ == "__main__":
    main()
