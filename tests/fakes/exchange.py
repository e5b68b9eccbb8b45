"""One request and its answer, as the fake provider's behaviours write it."""

import asyncio
import json
import zlib
from typing import Any

BASE = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1}
REQUEST_ID = "req_fake_0001"


class Exchange:
    def __init__(
        self, writer: asyncio.StreamWriter, gate: asyncio.Event, asked: dict[str, Any], before: int = 0
    ) -> None:
        self.asked = asked
        self.before = before
        """How often this very model was asked before."""
        self.model: str = asked.get("model", "")
        self.newline = "\n"
        self.indent: int | None = None
        """Of each event's JSON; None for one line."""
        self.status = "200 OK"
        self.content_type = "text/event-stream; charset=utf-8"
        self.begun = False
        """Whether the first line of the head is sent."""
        self.head_fields: dict[str, str] = {}
        """Further ones."""
        self.with_usage = True
        self.tokens = 0
        self.cut = False
        """Set to end the connection with a reset."""
        self.close = False
        """Set to end the connection after the answer."""
        self._writer = writer
        self._gate = gate
        self._compressor: Any = None

    @property
    def is_released(self) -> bool:
        return self._gate.is_set()

    async def held(self) -> None:
        """Waits until the test releases the provider."""
        await self._gate.wait()

    def gzip(self) -> None:
        """Compresses the body of what follows, each chunk so that the client can read it at once."""
        self._compressor = zlib.compressobj(wbits=31)
        self.head_fields["Content-Encoding"] = "gzip"

    async def start(self, content_type: str | None = None) -> None:
        fields = {"Content-Type": content_type or self.content_type, "x-request-id": REQUEST_ID, **self.head_fields}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        first = "" if self.begun else f"HTTP/1.1 {self.status}\r\n"
        await self.write(f"{first}{lines}Transfer-Encoding: chunked\r\n\r\n".encode())

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

    async def completion(self, message: dict[str, Any], finish_reason: str) -> None:
        """The whole answer in one document."""
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        document = {"object": "chat.completion", "model": f"{self.model}-2026", "choices": [choice]}
        await self.json(200, {**document, "usage": self.usage()})

    async def token(self, text: str | None) -> None:
        self.tokens += 1
        await self.delta({"content": text})

    async def delta(self, delta: dict[str, Any]) -> None:
        await self.event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])

    async def stop(self, reason: Any = "stop") -> None:
        """The finish reason, the usage if the request asked for it, [DONE] and the end of the body."""
        await self.event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        if self.with_usage and (self.asked.get("stream_options") or {}).get("include_usage"):
            await self.event(choices=[], usage=self.usage())
        await self.data("[DONE]")
        await self.end()

    def usage(self) -> dict[str, int]:
        prompt = sum(len(text_of(message["content"]).split()) for message in self.asked["messages"])
        return {"prompt_tokens": prompt, "completion_tokens": self.tokens, "total_tokens": prompt + self.tokens}

    async def event(self, **fields: Any) -> None:
        await self.data(json.dumps({**BASE, "model": f"{self.model}-2026", **fields}, indent=self.indent))

    async def data(self, data: str) -> None:
        lines = "".join(f"data: {line}{self.newline}" for line in data.split("\n"))
        await self.chunk(f"{lines}{self.newline}".encode())

    async def chunk(self, payload: bytes) -> None:
        if self._compressor is not None:
            payload = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self.write(b"%x\r\n%s\r\n" % (len(payload), payload))

    async def end(self) -> None:
        last = self._compressor.flush() if self._compressor is not None else b""
        await self.write((b"%x\r\n%s\r\n" % (len(last), last) if last else b"") + b"0\r\n\r\n")

    async def write(self, payload: bytes) -> None:
        self._writer.write(payload)
        await self._writer.drain()


def text_of(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a message's content, which may be parts, or None beside tool calls."""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""
