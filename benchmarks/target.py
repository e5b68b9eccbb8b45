"""What load is sent to: where, and what a turn looks like there."""

import json
from dataclasses import dataclass, field
from typing import Any

WORKERS = 2
"""Worker processes of each server that has any."""

PROMPT = "What is the capital of France?"


@dataclass(frozen=True)
class Target:
    name: str
    port: int
    pid: int
    """The root of its processes."""
    headers: dict[str, str] = field(default_factory=dict)
    expected: bytes = b"tok "
    """What a good answer has in its body."""

    def path(self) -> str:
        raise NotImplementedError

    def fields(self) -> dict[str, Any]:
        """What a turn's body has besides `max_tokens` and `stream`."""
        raise NotImplementedError

    def request(self, *, tokens: int, stream: bool) -> bytes:
        """A whole HTTP request for a turn with an answer of `tokens` tokens."""
        body = json.dumps({**self.fields(), "max_tokens": tokens, "stream": stream}).encode()
        headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(body), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.path()} HTTP/1.1\r\n{lines}\r\n".encode() + body


class OpenAI(Target):
    """A server that speaks OpenAI's protocol."""

    def path(self) -> str:
        return "/v1/chat/completions"

    def fields(self) -> dict[str, Any]:
        return {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}


class Chat(Target):
    """Ours: every turn makes a conversation and is stored."""

    def path(self) -> str:
        return "/api/chat"

    def fields(self) -> dict[str, Any]:
        return {"message": PROMPT}


@dataclass(frozen=True)
class Said(Chat):
    """Ours: a turn in a conversation that there is."""

    conversation: str = ""

    def path(self) -> str:
        return f"/api/conversations/{self.conversation}/messages"

    def fields(self) -> dict[str, Any]:
        return {"content": PROMPT}


@dataclass(frozen=True)
class Read(Chat):
    """Ours: a GET."""

    url: str = ""

    def path(self) -> str:
        return self.url

    def request(self, *, tokens: int, stream: bool) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **self.headers}.items())
        return f"GET {self.url} HTTP/1.1\r\n{lines}\r\n".encode()
