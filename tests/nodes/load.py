"""Clients that talk through the proxy without a pause, and note what becomes of every request."""

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2

from tests.fakes.client import Event
from tests.fakes.waiting import poll

logger = logging.getLogger(__name__)

CLIENTS = 12
ROUND = 6
"""Turns of each kind after which things count as going well."""

TURNS = 4
"""Of a conversation; then another begins."""

PACE = 0.05
"""Seconds from one turn to the next, so that the machine has time for the servers."""

PATIENCE = 40.0
"""Seconds for which a client whose stream broke tries to read the rest."""

KINDS = ("blocking", "streamed", "detached")


@dataclass
class Outcome:
    """Of one request. Times are time.monotonic() seconds."""

    kind: str
    """One of KINDS, or `read`."""
    asked: str
    """What the user's message says; no other says the same."""
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    accepted: bool = False
    """Whether there was a 2xx, or the stream's first event."""
    conversation_id: str = ""
    message_id: str = ""
    """The answer's."""
    text: str = ""
    """The answer, as far as it was received."""
    error: str = ""
    """Empty when all went well."""


class Load:
    """Runs from `with` to its end, which waits for the turns under way."""

    def __init__(self, url: str, key: str) -> None:
        self.outcomes: list[Outcome] = []
        """Of the requests that have ended."""
        self._http: dict[str, Any] = {
            "base_url": url,
            "headers": {"Authorization": f"Bearer {key}"},
            "timeout": PATIENCE,
            "trust_env": False,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        # With `--log-cli-level=INFO` pytest shows it.
        told = Counter(f"{outcome.kind}: {outcome.error or 'well'}" for outcome in self.outcomes)
        slowest = max(outcome.ended - outcome.began for outcome in self.outcomes if outcome.kind == "blocking")
        logger.info("%s; slowest blocking turn %.1f s", dict(sorted(told.items())), slowest)

    def go_on(self) -> None:
        """Waits until a ROUND of turns of each kind, begun from now on, have ended well."""
        now = time.monotonic()

        def done() -> bool:
            well = Counter(outcome.kind for outcome in self.outcomes if outcome.began >= now and not outcome.error)
            return all(well[kind] >= ROUND for kind in KINDS)

        poll(done, 40, "progress of the load")

    def wait_for_failures(self, count: int) -> None:
        """Waits until so many more have failed."""
        before = len(self.failures)
        poll(lambda: len(self.failures) >= before + count, 20, "failures")

    @property
    def turns(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.kind != "read"]

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error]

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(**self._http, limits=limits) as http:
            await asyncio.gather(*(self._talk(http, number) for number in range(CLIENTS)))

    async def _talk(self, http: httpx2.AsyncClient, number: int) -> None:
        conversation, turns = "", 0
        while not self._stop.is_set():
            outcome = Outcome(KINDS[(number + turns) % len(KINDS)], f"{uuid4()}")
            await self._note(outcome, say(http, outcome, conversation))
            turns += 1
            conversation = outcome.conversation_id if not outcome.error and turns % TURNS else ""
            if not outcome.error:
                reading = Outcome("read", outcome.asked)
                await self._note(reading, read(http, reading, outcome))
            await asyncio.sleep(PACE)

    async def _note(self, outcome: Outcome, request: Any) -> None:
        try:
            await request
        except httpx2.HTTPError as error:
            outcome.error = type(error).__name__
        outcome.ended = time.monotonic()
        self.outcomes.append(outcome)


async def say(http: httpx2.AsyncClient, outcome: Outcome, conversation: str) -> None:
    """One turn. Raises HTTPError, and notes every other failure."""
    body: dict[str, Any] = {"message": outcome.asked}
    if conversation:
        body["conversation_id"] = conversation
    if outcome.kind == "blocking":
        response = await http.post("/api/chat", json=body)
        if response.status_code != 200:
            outcome.error = refusal(response)
            return
        outcome.accepted = True
        answered(outcome, response.json())
        return
    body |= {"stream": True, "model": "slow", "detached": outcome.kind == "detached"}
    last = await follow(outcome, http.stream("POST", "/api/chat", json=body), -1)
    if outcome.kind == "detached" and outcome.accepted and outcome.error == "cut":
        await resume(http, outcome, last)


async def follow(outcome: Outcome, request: Any, last: int) -> int:
    """Reads a stream to its end, from the event after number `last` on; the number of the last one that has come."""
    outcome.error = "cut"
    try:
        async with request as response:
            if response.status_code != 200:
                await response.aread()
                outcome.error = refusal(response)
                return last
            async with aclosing(events_of(response)) as events:
                async for event in events:
                    assert event.id == last + 1, f"{event} after {last}"
                    last = event.id
                    heard(outcome, event)
    except httpx2.HTTPError:
        if outcome.error != "cut":
            raise
    return last


def heard(outcome: Outcome, event: Event) -> None:
    match event.name:
        case "message.created":
            outcome.accepted = True
            outcome.conversation_id, outcome.message_id = event.data["conversation_id"], event.data["id"]
        case "message.delta":
            outcome.text += event.data["delta"]
        case "message.completed":
            outcome.error = ""
            assert event.data["content"] == outcome.text
        case "message.failed":
            outcome.error = event.data["code"]


async def resume(http: httpx2.AsyncClient, outcome: Outcome, last: int) -> None:
    """Reads the rest of a detached turn wherever nginx finds it, until that has an end."""
    path = f"/api/conversations/{outcome.conversation_id}/messages/{outcome.message_id}/events"
    deadline = time.monotonic() + PATIENCE
    while (outcome.error == "cut" or outcome.error[:3] in {"502", "503"}) and time.monotonic() < deadline:
        await asyncio.sleep(PACE)
        headers = {"Last-Event-ID": str(last)} if last >= 0 else {}
        last = await follow(outcome, http.stream("GET", path, headers=headers), last)


async def read(http: httpx2.AsyncClient, reading: Outcome, turn: Outcome) -> None:
    """What was just said has to be there, at whatever node."""
    response = await http.get(f"/api/conversations/{turn.conversation_id}/messages", params={"limit": 100})
    if response.status_code != 200:
        reading.error = refusal(response)
        return
    *_, question, answer = response.json()["items"]
    if (question["content"], answer["content"], answer["status"]) != (turn.asked, turn.text, "completed"):
        reading.error = f"stale: {answer['status']}"


async def events_of(response: httpx2.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


def answered(outcome: Outcome, message: dict[str, Any]) -> None:
    outcome.conversation_id, outcome.message_id = message["conversation_id"], message["id"]
    outcome.text = message["content"]


def refusal(response: httpx2.Response) -> str:
    """The status, and the code when it is ours and not the proxy's."""
    ours = response.headers["Content-Type"] == "application/problem+json"
    return f"{response.status_code} {response.json()['code'] if ours else 'of the proxy'}"
