"""Sentry's envelope endpoint on the loopback: keeps what it is sent, answers what the test wants.

Envelope format: https://develop.sentry.dev/sdk/data-model/envelopes/
"""

import gzip
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.loopback import Handler, Loopback
from tests.fakes.waiting import poll

KEY = "5e17ca11ed0f00d5e17ca11ed0f00d00"
"""The public key in the DSN: 32 hex digits, as Sentry's are, so that a test can look for it where it must not be."""

PATH = "/api/1/envelope/"


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


class Ingest(Loopback):
    """A context manager; inside it `dsn` is a working DSN. With `tls`, it speaks HTTPS with that context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(_handler(self))
        self._lock = threading.Lock()
        self._bodies: list[bytes] = []
        self._items: list[tuple[str, dict[str, Any]]] = []
        self._answer: Answer | None = Answer()
        self._closing = threading.Event()
        self._scheme = "https" if tls else "http"
        if tls:
            # The handshake belongs into the connection's own thread, where it may fail without a trace.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        super().__exit__(kind, exc, tb)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        return f"{self._scheme}://{KEY}@127.0.0.1:{self.port}/1"

    @property
    def raw(self) -> list[bytes]:
        """Every body, decompressed, in the order of arrival."""
        with self._lock:
            return list(self._bodies)

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the items of type `kind` ("event", "transaction", ...) so far."""
        with self._lock:
            return [payload for item, payload in self._items if item == kind]

    def wait(self, kind: str, count: int = 1, seconds: float = 10) -> list[dict[str, Any]]:
        """Waits until `count` items of type `kind` have come and returns them all; AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(found := self.items(kind)) < count:
            if time.monotonic() > deadline:
                with self._lock:
                    came = dict(Counter(item for item, _ in self._items))
                raise AssertionError(
                    f"{len(found)} of {count} items of type {kind!r} in {seconds} s; all items: {came}"
                )
            time.sleep(0.01)
        return found

    def of_request(self, request_id: str, kind: str) -> list[dict[str, Any]]:
        """The payloads of the items of type `kind` that the request caused so far."""
        return [item for item in self.items(kind) if item.get("tags", {}).get("request_id") == request_id]

    def wait_request(self, request_id: str, seconds: float = 10) -> None:
        """Waits for the request's transaction and, if that failed, for its event: another thread sends it, and so it
        may come after. AssertionError after `seconds`.
        """
        transactions = poll(lambda: self.of_request(request_id, "transaction"), seconds, "transaction")
        if any(item["contexts"]["trace"].get("status") == "internal_error" for item in transactions):
            poll(lambda: self.of_request(request_id, "event"), seconds, "event")

    def clear(self) -> None:
        """Forgets what has come so far."""
        with self._lock:
            self._bodies.clear()
            self._items.clear()

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Answers each envelope like this from now on. It is kept all the same."""
        self._answer = Answer(status, headers or {}, body)

    def hang(self) -> None:
        """Answers nothing any more until the context ends."""
        self._answer = None

    def take(self, body: bytes) -> Answer | None:
        """What the handler calls: keeps one envelope and says what to answer; None after a hang."""
        items = list(parse(body))
        with self._lock:
            self._bodies.append(body)
            self._items.extend(items)
        if self._answer is None:
            self._closing.wait()
        return self._answer


def parse(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """(type, payload) of each item of an envelope."""
    _, _, rest = body.partition(b"\n")
    items = []
    while rest:
        line, _, rest = rest.partition(b"\n")
        header = json.loads(line)
        length = header.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        items.append((header["type"], json.loads(rest[:length])))
        rest = rest[length:].removeprefix(b"\n")
    return items


def _handler(ingest: Ingest) -> type[Handler]:
    class Envelopes(Handler):
        def do_POST(self) -> None:
            body = self.read()
            # The SDK would take brotli were it installed; it is none of our requirements.
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = urlsplit(self.path).path == PATH and f"sentry_key={KEY}" in self.headers.get("X-Sentry-Auth", "")
            answer = ingest.take(body) if known else Answer(404, body=b'{"detail":"unknown project or key"}')
            if answer is None:
                self.close_connection = True
                return
            self.answer(answer.status, answer.headers, answer.body)

        def handle(self) -> None:
            # A client that refuses our certificate, or leaves in the middle, is what some tests want.
            try:
                super().handle()
            except (ConnectionError, ssl.SSLError):
                self.close_connection = True

    return Envelopes
