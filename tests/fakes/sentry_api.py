"""A whole Sentry on the loopback, small: takes every envelope, and has the API by which one asks for an event.

API: https://docs.sentry.io/api/events/retrieve-an-event-for-a-project/
"""

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.ingest import KEY
from tests.fakes.loopback import Handler, Loopback

TOKEN = "sntryu_7a0ced2b5f4e4c0e8f1d"
CHAT = {"id": "1", "slug": "chat-staging", "organization": {"id": "9", "slug": "acme"}}
OTHER = {"id": "7", "slug": "shop", "organization": {"id": "9", "slug": "acme"}}


class SentryApi(Loopback):
    """A context manager. Its projects are `projects`; it has whatever event is asked for, after `misses` 404s."""

    def __init__(self) -> None:
        super().__init__(_handler(self))
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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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


def _handler(api: SentryApi) -> type[Handler]:
    class Api(Handler):
        def do_GET(self) -> None:
            self.answer(*api.get(self.path, self.headers.get("Authorization", "")))

        def do_POST(self) -> None:
            self.read()
            self.answer(200, {}, b"{}")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + api.clock_offset, usegmt=True)

    return Api
