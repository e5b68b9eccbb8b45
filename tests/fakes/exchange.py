"""One request and its answer, as the fake provider's behaviours write it."""

import asyncio
import json
from typing import Any

BASE = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1}
REQUEST_ID = "req_fake_0001"


class Exchange:
    def __init__(self, writer: asyncio.StreamWriter, gate: asyncio.Event, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.model: str = asked.get("model", "")
        self.newline = "\n"
        self.with_usage = True
        self.tokens = 0
        self.cut = False
        """Set to end the connection with a reset."""
        self.close = False
        """Set to end the connection after the answer."""
        self._writer = writer
        self._gate = gate

    async def held(self) -> None:
        """Waits until the test releases the provider."""
        await self._gate.wait()

    async def start(self, content_type: str = "text/event-stream; charset=utf-8") -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nx-request-id: {REQUEST_ID}\r\n"
        await self.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())

    async def json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            "x-request-id": REQUEST_ID,
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.write(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + payload)

    async def token(self, text: str | None) -> None:
        self.tokens += 1
        await self.event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])

    async def stop(self, reason: Any = "stop") -> None:
        """The finish reason, the usage if the request asked for it, [DONE] and the end of the body."""
        await self.event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        if self.with_usage and (self.asked.get("stream_options") or {}).get("include_usage"):
            await self.event(choices=[], usage=self.usage())
        await self.data("[DONE]")
        await self.end()

    def usage(self) -> dict[str, int]:
        prompt = sum(len(message["content"].split()) for message in self.asked["messages"])
        return {"prompt_tokens": prompt, "completion_tokens": self.tokens, "total_tokens": prompt + self.tokens}

    async def event(self, **fields: Any) -> None:
        await self.data(json.dumps({**BASE, "model": f"{self.model}-2026", **fields}))

    async def data(self, data: str) -> None:
        await self.chunk(f"data: {data}{self.newline}{self.newline}".encode())

    async def chunk(self, payload: bytes) -> None:
        await self.write(b"%x\r\n%s\r\n" % (len(payload), payload))

    async def end(self) -> None:
        await self.write(b"0\r\n\r\n")

    async def write(self, payload: bytes) -> None:
        self._writer.write(payload)
        await self._writer.drain()
