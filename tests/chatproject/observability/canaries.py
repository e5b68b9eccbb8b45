"""Canaries: unique strings for all that must not travel, a server that is full of them, and where they turn up."""

import json
import re
import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from tests.fakes.echoing import EchoingProvider
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.server import Server

ADDRESS = "127.0.0.77"
"""Of a client that can be told from everything else on the loopback."""


def canary() -> str:
    return secrets.token_hex(12)


@dataclass(frozen=True)
class Canaries:
    """A unique string for each thing that must not travel."""

    prompt: str = field(default_factory=canary)
    system_prompt: str = field(default_factory=canary)
    reply: str = field(default_factory=canary)
    metadata: str = field(default_factory=canary)
    title: str = field(default_factory=canary)
    provider_key: str = field(default_factory=canary)
    cookie: str = field(default_factory=canary)
    header: str = field(default_factory=canary)
    authorization: str = field(default_factory=canary)
    query: str = field(default_factory=canary)
    form: str = field(default_factory=canary)
    row: str = field(default_factory=canary)
    comment: str = field(default_factory=canary)
    tool: str = field(default_factory=canary)
    arguments: str = field(default_factory=canary)
    result: str = field(default_factory=canary)
    image: str = field(default_factory=canary)
    thought: str = field(default_factory=canary)
    secret_key: str = field(default_factory=canary)
    database_password: str = field(default_factory=canary)
    dsn_secret: str = field(default_factory=canary)
    user: str = field(default_factory=canary)
    email: str = field(default_factory=canary)

    def texts(self) -> dict[str, str]:
        """What SENTRY_INCLUDE_PROMPTS lets travel."""
        asked = {"prompt": self.prompt, "system_prompt": self.system_prompt, "result": self.result}
        return asked | {"reply": self.reply, "arguments": self.arguments}

    def person(self) -> dict[str, str]:
        """What SENTRY_SEND_DEFAULT_PII lets travel."""
        return {"user": self.user, "email": self.email, "address": ADDRESS}

    def secrets(self) -> dict[str, str]:
        """What never travels, but for the comment, which SENTRY_SEND_FEEDBACK lets travel as feedback."""
        allowed = self.texts() | self.person()
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in allowed}


def configuration(canaries: Canaries, ingest: Ingest) -> dict[str, str]:
    """The environment of a server that reports to `ingest`; a Sentry of its own, or events of others came along."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.fakes.faulty_settings",
        "SECRET_KEY": canaries.secret_key,
        "FAKE_API_KEY": canaries.provider_key,
        "CHAT_FIRST_TOKEN_TIMEOUT": "3",
        "CHAT_SILENCE_TIMEOUT": "3",
        "GRACEFUL_TIMEOUT": "4",  # a live turn has half of it
        "SENTRY_SEND_FEEDBACK": "false",
        "SENTRY_RELEASE": "canaries",  # without one there are no sessions
        "SENTRY_DSN": ingest.dsn.replace(KEY, f"{KEY}:{canaries.dsn_secret}"),
    }


@dataclass
class Run:
    """A server with canaries in its configuration, its Sentry, and what is sent through it."""

    server: Server
    ingest: Ingest
    provider: EchoingProvider
    canaries: Canaries
    codes: set[str] = field(default_factory=set)
    printed: str = ""
    """What commands have printed."""

    def __post_init__(self) -> None:
        c = self.canaries
        self.provider.reply, self.provider.thought, self.provider.arguments = c.reply, c.thought, c.arguments
        self.client = self.server.client()
        headers = {"Cookie": f"sessionid={c.cookie}; theme={c.cookie}", "X-Tenant": c.header}
        self.client.http.headers.update({**headers, "X-Forwarded-For": ADDRESS, "X-Real-IP": ADDRESS})

    @property
    def keys(self) -> dict[str, str]:
        """The API keys' secret parts, and that of the DSN."""
        secret = self.client.http.headers["Authorization"].split("_")[2]
        return {"api_key": secret, "dsn_key": KEY}

    def conversation(self) -> str:
        c = self.canaries
        metadata = {"note": f"Grüße {c.metadata}", c.metadata: [1, {"deep": c.metadata}]}
        return str(self.client.conversation(title=c.title, system_prompt=c.system_prompt, metadata=metadata)["id"])

    def turn(self, model: str, streamed: bool, **more: Any) -> str:
        """One turn in a conversation of its own; its outcome or its problem's code."""
        body = {"content": f"Grüße „{self.canaries.prompt}“", "model": model, "stream": streamed, **more}
        path = f"/api/conversations/{self.conversation()}/messages?q={self.canaries.query}"
        response = self.client.post(path, json=body)
        last = json.loads(re.findall(r"data: (.*)", response.text)[-1]) if streamed else response.json()
        code = str(last.get("code") or last["status"])
        self.codes.add(code)
        return code

    def settle(self) -> None:
        """Waits until Sentry has everything, which the shutdown sees to."""
        self.client.close()  # gunicorn would wait for an idle connection
        assert self.server.terminate() == 0

    def sent(self, *, but: str = "") -> str:
        """All that left for Sentry, but for the public key in the header of an envelope, where it belongs.

        `but`: without the envelopes whose first item is of that type.
        """
        bodies = []
        for body in self.ingest.raw:
            header, _, items = body.partition(b"\n")
            if not items.partition(b"\n")[0].startswith(f'{{"type":"{but}"'.encode()):
                bodies.append(header.replace(f'"public_key":"{KEY}"'.encode(), b"") + b"\n" + items)
        return b"\n".join(bodies).decode()

    def log(self) -> str:
        return self.server.log() + self.printed


def leaked(canaries: dict[str, str], where: str) -> dict[str, str]:
    """Each of the canaries that is there, or half of one, or an encoding of it, with what is around it."""
    found = {}
    for name, value in canaries.items():
        if match := re.search("|".join(map(re.escape, forms(value))), where, re.I):
            found[name] = where[max(0, match.start() - 200) : match.end() + 50]
    return found


def forms(value: str) -> Iterator[str]:
    """As it is, or its halves; in hexadecimal; in base64, wherever it starts in what is encoded."""
    middle = len(value) // 2
    yield from (value[:middle], value[middle:]) if value.isalnum() else (value,)
    yield value.encode().hex()
    for before in range(3):
        yield b64encode(b"-" * before + value.encode())[4 if before else 0 : -4].decode()
