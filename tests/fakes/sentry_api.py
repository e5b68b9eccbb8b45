"""A whole Sentry on the loopback, small: takes every envelope, and has the API by which one asks for an event.

API: https://docs.sentry.io/api/events/retrieve-an-event-for-a-project/
"""

import json
import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.fakes.ingest import KEY

TOKEN = "sntryu_7a0ced2b5f4e4c0e8f1d"
CHAT = {"id": "1", "slug": "chat-staging", "organization": {"id": "9", "slug": "acme"}}
OTHER = {"id": "7", "slug": "shop", "organization": {"id": "9", "slug": "acme"}}


class SentryApi:
    """A context manager. Its projects are `projects`; it has whatever event is asked for, after `misses` 404s."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = [OTHER, CHAT]
        self.page = 100
        """Projects on a page."""
        self.misses: float = 0
        self.event: dict[str, Any] = {"groupID": "55"}
        """The event's document, but for its id."""
        self.forced: tuple[int, Mapping[str, str], bytes] | None = None
        """What is answered to every GET instead."""
        self.documents: dict[str, Any] = {}
        """Further documents, by path."""
        self.clock_offset = 0.0
        """Seconds that the server's clock is ahead."""
        self.asked: list[str] = []
        """Every GET's path, and query."""
        self.authorizations: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def dsn(self) -> str:
        return self.url.replace("http://", f"http://{KEY}@") + "/1"

    def get(self, target: str, authorization: str) -> tuple[int, Mapping[str, str], bytes]:
        """The answer to a GET: status, headers, body."""
        self.asked.append(target)
        self.authorizations.add(authorization)
        path = urlsplit(target).path
        if self.forced:
            return self.forced
        if path in self.documents:
            return 200, {}, json.dumps(self.documents[path]).encode()
        if authorization != f"Bearer {TOKEN}":
            return 401, {}, b'{"detail": "Invalid token"}'
        if path == "/api/0/projects/":
            return self._list(int((urlsplit(target).query or "cursor=0").removeprefix("cursor=")))
        return self._look_up(path.removeprefix("/api/0/projects/").strip("/").split("/"))

    def _list(self, start: int) -> tuple[int, Mapping[str, str], bytes]:
        end = start + self.page
        more = "true" if end < len(self.projects) else "false"
        link = f'<{self.url}/api/0/projects/?&cursor={end}>; rel="next"; results="{more}"; cursor="{end}"'
        return 200, {"Link": link}, json.dumps(self.projects[start:end]).encode()

    def _look_up(self, path: list[str]) -> tuple[int, Mapping[str, str], bytes]:
        missing = 404, {}, b'{"detail": "The requested resource does not exist"}'
        found = next((p for p in self.projects if path[:2] == [p["organization"]["slug"], p["slug"]]), None)
        if found and len(path) == 2:
            return 200, {}, json.dumps(found).encode()
        if not found or path[2:3] != ["events"]:
            return missing
        if self.misses > 0:
            self.misses -= 1
            return missing
        return 200, {}, json.dumps({"eventID": path[3], **self.event}).encode()


def _handler(api: SentryApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*api.get(self.path, self.headers.get("Authorization", "")))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, {}, b"{}")

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + api.clock_offset, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            """Silent: a test's output is its own."""

    return Handler
