"""Two hundred turns at once with random faults, some of whose clients leave: afterwards every invariant holds."""

import os
import random
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx2

from tests.conftest import StartServer
from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

TURNS = 200
CLIENTS = 25
FAULTS = (
    *("echo", "tokens-300", "slow", "tool-calls", "reasoning", "usage-missing", "length"),
    *("hang", "hang-mid-stream", "comments-only", "slow-headers", "slow-body"),
    *("drop-mid-stream", "close-mid-stream", "reset-at-once", "no-http", "garbage", "no-finish", "empty"),
    *("error-in-stream", "limit-in-stream", "filtered", "json-error-200", "html-200", "endless-event", "big-token"),
    *("status-400", "status-401", "status-429", "status-500", "retry-after-huge", "redirect"),
)
TERMINAL = {"completed", "failed", "cancelled", "interrupted"}
Row = dict[str, Any]


def one_turn(server: Server, number: int, dice: random.Random) -> None:
    """Posts a message somehow; its client may leave in the middle."""
    model = dice.choice((*FAULTS, f"flaky-1-{number}", f"limited-1-{number}", f"flaky-9-{number}"))
    body = {"message": f"hello {number}", "model": model, "stream": dice.random() < 0.5}
    leaves = dice.random() < 0.25
    client = server.client()
    try:
        client.http.timeout = dice.uniform(0.05, 1.5) if leaves else 60
        client.post("/api/chat", json=body)
    except httpx2.TimeoutException:
        assert leaves, model
    finally:
        client.close()


def test_nothing_is_left_behind(start_server: StartServer, provider: Provider, ingest: Ingest) -> None:
    server = start_server(
        DJANGO_SETTINGS_MODULE="tests.fakes.faulty_settings",
        CHAT_RETRIES="1",
        CHAT_RETRY_WAIT="0.05",
        CHAT_RETRY_WAIT_MAX="1",
        CHAT_FIRST_TOKEN_TIMEOUT="1",
        CHAT_SILENCE_TIMEOUT="1",
        CHAT_TURN_TIMEOUT="5",
        SENTRY_DSN=ingest.dsn,
        SENTRY_EVENT_BURST="0",
        SENTRY_PROFILES_SAMPLE_RATE="0",
    )
    seed = os.environ.get("SEED") or str(random.randrange(10**6))
    sys.stderr.write(f"SEED={seed}\n")  # shown when the test fails
    observer = server.client()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: calm_turn(server), range(4 * CLIENTS)))  # every thread of the worker is up
        before = poll(lambda: idle(server, observer), 30, "idle worker")
        list(pool.map(lambda n: one_turn(server, n, random.Random(f"{seed}-{n}")), range(TURNS)))
    assert poll(lambda: idle(server, observer), 30, "idle worker") == before
    asked, answers = messages(server)
    attempts = attempts_of(server)
    assert len(asked) == len(answers) > TURNS * 0.8, "a client that leaves at once may have posted nothing"
    assert {answer["status"] for answer in answers} <= TERMINAL
    assert not [answer for answer in answers if answer["lease_until"] is not None]
    for answer in answers:
        adds_up(answer, attempts[UUID(str(answer["id"]))])
    made = sum(map(len, attempts.values()))
    # A client may leave between an attempt's start and its request.
    assert made - Counter(a["status"] for a in answers)["cancelled"] <= len(provider.chats) <= made
    assert all(chat.answered.is_set() or chat.hung_up.is_set() for chat in provider.chats)
    assert provider.open_connections <= CLIENTS, "those that may be used again: never more were in use at once"
    told(ingest, answers, made)


def calm_turn(server: Server) -> None:
    client = server.client()
    assert client.post("/api/chat", json={"message": "hello"}).status_code == 200
    client.close()


def idle(server: Server, observer: Client) -> Row | None:
    """What the worker holds when it serves nobody but us; None when it serves others. Sockets do not count: the
    provider's connections, and Sentry's, may be used again.
    """
    inside = dict(observer.get("/inside").json())
    tasks = Counter(inside["tasks"])
    [worker] = server.workers()
    files = Counter(kind(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd"))
    alone = tasks["ASGIProtocol._handle_connection"] == 1 and inside["turns"] == 0
    return {"files": files["file"], "tasks": tasks} if alone else None


def kind(path: str) -> str:
    try:
        return "socket" if os.readlink(path).startswith("socket:") else "file"
    except OSError:
        return "gone"


def messages(server: Server) -> tuple[list[Row], list[Row]]:
    """The users' messages and the answers."""
    rows = server.db.query("SELECT * FROM conversations_message")
    return [r for r in rows if r["role"] == "user"], [r for r in rows if r["role"] == "assistant"]


def attempts_of(server: Server) -> dict[UUID, list[Row]]:
    found = defaultdict(list)
    for row in server.db.query("SELECT * FROM conversations_messageattempt ORDER BY number"):
        found[UUID(str(row["message_id"]))].append(row)
    return found


def adds_up(answer: Row, attempts: list[Row]) -> None:
    """Asserts that a message and its attempts tell one story."""
    *before, last = attempts or [{"number": 0, "outcome": answer["status"], "error_code": answer["error_code"]}]
    assert attempts or answer["status"] == "cancelled", "who leaves at once has made no attempt"
    assert [attempt["number"] for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert {attempt["outcome"] for attempt in before} <= {"failed"}
    if last["outcome"] == "failed" and answer["status"] == "cancelled":
        return  # left while waiting for the next attempt
    assert (last["outcome"], last["error_code"]) == (answer["status"], answer["error_code"]), answer["model"]


def told(ingest: Ingest, answers: list[Row], attempts: int) -> None:
    """Asserts that Sentry has an event for each turn that failed, and a span for each attempt."""
    failed = {answer["sentry_event_id"] for answer in answers if answer["status"] == "failed"}
    assert "" not in failed
    poll(lambda: {event["event_id"] for event in ingest.items("event")} == failed, 10, "event for each failure")

    def spans() -> int:
        return sum(s["op"] == "gen_ai.chat" for t in ingest.items("transaction") for s in t["spans"])

    poll(lambda: spans() == attempts, 10, f"{attempts} spans")
