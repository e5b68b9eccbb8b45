"""What Sentry received of a request: held against the contract, judged by Sentry's normaliser and a real Bugsink."""

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from tests.chatproject.observability.contract import ROWS
from tests.fakes.bugsink import Bugsink
from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.normaliser import complaints
from tests.fakes.waiting import poll

Json = dict[str, Any]
Header = dict[str, str]


@dataclass(frozen=True)
class Seen:
    """All that Sentry received of a request that has ended."""

    events: list[Json]
    transactions: list[Json]

    @property
    def event(self) -> Json:
        [event] = self.events
        return event

    @property
    def transaction(self) -> Json:
        [transaction] = self.transactions
        return transaction

    @property
    def attempts(self) -> list[Json]:
        return [span for item in self.transactions for span in item["spans"] if span["op"].startswith("gen_ai.")]

    @property
    def attempt(self) -> Json:
        [attempt] = self.attempts
        return attempt

    def fits(self, situation: str, http_status: int | str = "") -> None:
        """Asserts on what the row of the table says."""
        row = ROWS[situation]
        assert len(self.events) == row.events, self.events
        wanted = [row.statuses[str(http_status)]] if row.statuses else []
        assert [item["contexts"]["trace"].get("status") for item in self.transactions] == wanted
        assert len(self.attempts) == row.spans


class Watch:
    """Waits for what a server sends, and has each item judged. Without a Bugsink, by the normaliser alone."""

    def __init__(self, ingest: Ingest, bugsink: Bugsink | None) -> None:
        self.ingest = ingest
        self._bugsink = bugsink

    def at(self, ingest: Ingest) -> "Watch":
        """The same, of a server that reports to another Sentry."""
        return Watch(ingest, self._bugsink)

    def of(self, header: Header, *, events: int = 0) -> Seen:
        """What came of a traced request, once it has told of its end; `events`: of one that ended well for its caller,
        whose transaction does not say that some are to come.
        """
        name = header["X-Request-ID"]
        self.ingest.wait_request(name)
        poll(lambda: len(self.ingest.of_request(name, "event")) >= events, what="events")
        return self.so_far(header)

    def so_far(self, header: Header) -> Seen:
        strays = [event for event in self.ingest.items("event") if "request_id" not in event.get("tags", {})]
        assert strays == [], "of no request, and so missed by the count below"
        name = header["X-Request-ID"]
        seen = Seen(self.ingest.of_request(name, "event"), self.ingest.of_request(name, "transaction"))
        self.judge(seen.events, seen.transactions)
        return seen

    def judge(self, events: Iterable[Json], transactions: Iterable[Json] = ()) -> None:
        for item in (*events, *transactions):
            assert complaints(item) == []
        if self._bugsink is not None:
            for event in events:
                self._bugsink.send(event)
                is_stored(self._bugsink, event)


def is_stored(bugsink: Bugsink, event: Json) -> None:
    """Asserts that Bugsink has the event, as it was sent, and finds it by its tags."""
    stored = bugsink.event(event["event_id"])
    assert stored["data"]["tags"] == event["tags"]
    found = bugsink.events(stored["issue"], f"request_id:{event['tags']['request_id']}")
    assert stored["id"] in [entry["id"] for entry in found]


def new_request() -> Header:
    """The header that names a request, to find again what Sentry received of it."""
    return {"X-Request-ID": f"test-{secrets.token_hex(8)}"}


def path_of(client: Client) -> str:
    """Where to post a message, in a conversation of its own."""
    return f"/api/conversations/{client.conversation()['id']}/messages"


def turn(client: Client, model: str, streamed: bool) -> tuple[Header, int, Json]:
    """A whole turn: its request, the HTTP status, and the message or the problem that it ended with."""
    header = new_request()
    body = {"content": "hi there", "model": model, "stream": streamed}
    response = client.post(path_of(client), json=body, headers=header)
    return header, response.status_code, last_of(response)


def last_of(response: httpx2.Response) -> Json:
    if response.headers["Content-Type"].startswith("text/event-stream"):
        return dict(json.loads(re.findall(r"data: (.*)", response.text)[-1]))
    return dict(response.json())


def is_told_everywhere(seen: Seen, answer: Json, client: Client) -> None:
    """Asserts that answer, message, event and transaction of a failed turn lead to each other."""
    message = client.messages(answer["conversation_id"])[-1]
    assert message["status"] == "failed"
    assert answer["sentry_event_id"] == message["sentry_event_id"] == seen.event["event_id"]
    for item in (seen.event, seen.transaction):
        tags = {"provider": "fake", "conversation_id": answer["conversation_id"], "chat.outcome": "failed"}
        assert item["tags"].items() >= tags.items()
        assert item["contexts"]["trace"]["trace_id"] == answer["trace_id"] == message["trace_id"]
        assert item["contexts"]["chat_request"]["message_id"] == message["id"]


def is_handled(event: Json) -> bool:
    return bool(event["exception"]["values"][-1]["mechanism"]["handled"])


def seconds(span: Json) -> float:
    start, end = (datetime.fromisoformat(span[name]) for name in ("start_timestamp", "timestamp"))
    return (end - start).total_seconds()
