"""kill -9 at any moment of 200 turns: all that was accepted is there, but for a second of text, and has its end."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.database import is_sqlite
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

ROUNDS = ("one worker", "everything", "one worker", "everything")
TURNS = 50
"""Of each round; each takes two seconds."""
STARTS = 2.5
"""Seconds over which the turns of a round start."""
LOST = 1.0
"""Seconds of text that a kill may cost."""
SLACK = 0.5
"""Seconds that a save may come late on a busy machine."""
TERMINAL = {"completed", "interrupted"}


@dataclass
class Told:
    """What a client was told of its turn until its end, or until the connection broke."""

    conversation: str
    content: str
    message: str | None = None
    """The answer's id; None when nothing came, so that the turn may not have been accepted."""
    pieces: list[tuple[float, str]] = field(default_factory=list)
    """With the time.monotonic() of their arrival."""
    end: str | None = None

    def text_at(self, moment: float) -> str:
        return "".join(piece for arrived, piece in self.pieces if arrived <= moment)


def stream(client: Client, told: Told, wait: float) -> Told:
    time.sleep(wait)
    try:
        with client.stream(told.conversation, told.content, model="slow") as events:
            for event in events:
                if event.name == "message.created":
                    told.message = event.data["id"]
                elif event.name == "message.delta":
                    told.pieces.append((time.monotonic(), event.data["delta"]))
                else:
                    told.end = event.name
    except httpx2.TransportError:
        pass  # killed
    return told


def block(client: Client, told: Told, wait: float) -> Told:
    time.sleep(wait)
    try:
        response = client.say(told.conversation, told.content, model="slow")
    except httpx2.TransportError:
        return told
    assert response.status_code == 200, response.text
    told.message, told.end = response.json()["id"], "message.completed"
    return told


def killed_round(server: Server, what: str, number: int, chance: random.Random) -> tuple[float, list[Told]]:
    """Turns that start one after the other, and a kill among them; its moment, and what the clients were told."""
    client = server.client()
    all_told = [Told(client.conversation()["id"], f"question {number}.{i}") for i in range(TURNS)]
    with ThreadPoolExecutor(TURNS) as crowd:
        turns = [
            crowd.submit(block if i % 5 == 0 else stream, client, told, chance.uniform(0, STARTS))
            for i, told in enumerate(all_told)
        ]
        time.sleep(chance.uniform(1.5, STARTS + 0.5))
        killed = time.monotonic()
        if what == "everything":
            server.kill()
        else:
            server.kill_worker(chance.choice(server.workers()))
        told = [turn.result(30) for turn in turns]
    if what == "everything":
        server.start()
    poll(lambda: len(server.workers()) == 2, what="two workers")
    return killed, told


def test_kill_9_at_any_moment_of_200_turns(start_server: StartServer, provider: Provider) -> None:
    chance = random.Random(9)
    doomed = start_server(WEB_CONCURRENCY="2")
    poll(lambda: len(doomed.workers()) == 2, what="two workers")
    with doomed.neighbour(CHAT_SILENCE_TIMEOUT="120") as other:
        client = other.client()
        untouched = client.conversation()["id"]
        with client.stream(untouched, "go", model="hang-mid-stream") as long:
            long.next("message.created")
            long.text("three ")
            rounds = [killed_round(doomed, what, number, chance) for number, what in enumerate(ROUNDS)]
            poll(lambda: orphans(doomed) == 1, 40, "end of all turns but the long one")
            provider.release()
            *_, completed = long
    assert completed.name == "message.completed", "neither killed nor swept, though it outlived the sweeping of others"
    for killed, all_told in rounds:
        for told in all_told:
            check(doomed, told, killed)
    everyone = [told for _, all_told in rounds for told in all_told]
    ends = Counter(told.end for told in everyone if told.message)
    assert ends["message.completed"] > 20
    assert ends[None] > 20, "killed in the middle"
    assert any(told.text_at(killed - LOST - SLACK) for killed, all_told in rounds for told in all_told if not told.end)


def orphans(server: Server) -> int:
    return int(server.db.query("SELECT count(*) AS n FROM conversations_message WHERE status = 'streaming'")[0]["n"])


def check(server: Server, told: Told, killed: float) -> None:
    rows = messages(server, told.conversation)
    assert len(rows) in ({2} if told.message else {0, 2}), told
    assert counted(server, told.conversation) == len(rows)
    if not rows:
        return
    asked, answer = rows
    assert (asked["role"], asked["content"], asked["status"]) == ("user", told.content, "completed")
    assert answer["status"] in TERMINAL
    assert answer["lease_until"] is None
    if told.end:
        assert (told.end, answer["status"], answer["content"]) == ("message.completed", "completed", "tok " * 40)
    else:
        assert answer["content"].startswith(told.text_at(killed - LOST - SLACK)), (answer["content"], told, killed)


def messages(server: Server, conversation: str) -> list[Json]:
    key = conversation.replace("-", "")  # as SQLite has it
    return server.db.query("SELECT * FROM conversations_message WHERE conversation_id = ? ORDER BY id", key)


def counted(server: Server, conversation: str) -> int:
    key = conversation.replace("-", "")
    [row] = server.db.query("SELECT message_count FROM conversations_conversation WHERE id = ?", key)
    return int(row["message_count"])


def test_a_lock_beyond_the_time_out_costs_no_text(
    start_server: StartServer, provider: Provider, ingest: Ingest
) -> None:
    """SQLite, whose file another process keeps locked. PostgreSQL's outages are in test_postgres.py."""
    server = start_server(SENTRY_DSN=ingest.dsn, DATABASE_TIMEOUT="1")
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite's")
    client = server.client()
    conversation, other = client.conversation()["id"], client.conversation()["id"]
    with client.stream(conversation, "go", model="hang-mid-stream") as events:
        events.next("message.created")
        events.text("three ")
        with locked(server):
            provider.release()
            failed = list(events)[-1]
            refused = client.say(other, "hello")
            reading = client.messages(conversation)
    assert (failed.name, failed.data["code"]) == ("message.failed", "database_unavailable")
    assert_problem(refused, 503, "database_unavailable")
    assert reading[-1]["status"] == "streaming"
    poll(lambda: client.messages(conversation)[-1]["status"] == "failed", what="late save")
    answer = client.messages(conversation)[-1]
    assert (answer["content"], answer["error_code"]) == (f"{PARTIAL}four", "database_unavailable")
    told = [event["event_id"] for event in fence(client, ingest)]
    assert told == [failed.data["sentry_event_id"], refused.json()["sentry_event_id"]]
    assert client.messages(other) == []
    assert client.say(other, "hello").status_code == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_who_leaves_while_the_save_fails_costs_no_text(
    start_server: StartServer, provider: Provider, streamed: bool
) -> None:
    server = start_server(DATABASE_TIMEOUT="1")
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite's")
    client, watcher = server.client(), server.client()
    conversation = client.conversation()["id"]
    leave = client.stream if streamed else client.asking
    with leave(conversation, "go", model="hang-mid-stream"):
        watcher.wait_saved(conversation, PARTIAL)
        lock = locked(server)
        lock.__enter__()
        provider.release()
        assert provider.last.answered.wait(10)
    poll(lambda: "waits for the database" in server.log() or "could not be stored" in server.log(), 10, "failed save")
    lock.__exit__(None, None, None)
    poll(lambda: watcher.messages(conversation)[-1]["status"] != "streaming", 10, "late save")
    assert watcher.messages(conversation)[-1]["content"] == f"{PARTIAL}four"


@contextmanager
def locked(server: Server) -> Iterator[None]:
    """As by another process that writes."""
    file = sqlite3.connect(server.db.url.removeprefix("sqlite:///"), timeout=20, isolation_level=None)
    with closing(file):
        file.execute("BEGIN IMMEDIATE")
        yield
        file.execute("ROLLBACK")
