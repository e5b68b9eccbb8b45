"""The index follows what is there: after an upgrade, with several servers, when a table is made anew."""

import json

import pytest

from tests.conversations.search.conftest import wait_indexed
from tests.fakes.client import Client
from tests.fakes.database import Databases, is_sqlite, manage
from tests.fakes.server import Server

ROWS = """
import json
from decimal import Decimal
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from conversations.models import Conversation, Message, TurnStatistics
from conversations.search import finding, indexing

def count(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM conversations_{table}")
        return cursor.fetchone()[0]

def found(q):
    return [item.snippet for item in finding.search(owner, q, limit=5)[0]]

owner = User.objects.get(username="alice")
conversation = Conversation.objects.create(owner=owner, title="Sea birds", provider="p", model="m")
ended = {"provider": "p", "model": "m", "latency_ms": 900, "prompt_tokens": 10, "completion_tokens": 5}

def say(role="user", content="A tern.", **fields):
    return Message.objects.create(conversation=conversation, role=role, content=content, **fields)
"""

UPGRADE = f"""{ROWS}
call_command("migrate", "conversations", "0004", verbosity=0)
say()
say("assistant", "Many terns.", ttft_ms=300, cost_usd=Decimal("0.25"), **ended)
say("assistant", "", status="failed", **ended)
say("assistant", "One", status="streaming")
say("tool", "tern")
say("system", "tern")
call_command("migrate", verbosity=0)
waiting = count("searchqueue")
say("user", "A new tern.")
first = found("tern")
indexing.BATCH = 1
indexing.index_batch()
second = found("tern")
call_command("index_messages", verbosity=0)
third = found("tern")
call_command("index_messages", "--all", verbosity=0)
counted = TurnStatistics.objects.order_by("bucket")
columns = ("provider", "bucket", "turns", "failures", "prompt_tokens", "completion_tokens", "cost_usd")
rows = [[*row, float(cost)] for *row, cost in counted.values_list(*columns)]
print(json.dumps([waiting, first, second, sorted(third), sorted(found("tern")), found("sea"), rows]))
"""


def run(database: str, script: str) -> list[object]:
    """What it prints last."""
    return list(json.loads(manage(database, "shell", "--no-imports", "-c", script).splitlines()[-1]))


def test_an_upgrade_queues_and_counts_what_is_there_and_the_new_overtakes_it(either: Databases) -> None:
    waiting, first, second, third, again, title, rows = run(either.new().url, UPGRADE)
    assert waiting == 3
    assert first == []
    assert second == ["A new <mark>tern</mark>."]
    assert third == again == ["A <mark>tern</mark>.", "A new <mark>tern</mark>."]
    assert title == ["<mark>Sea</mark> birds"]
    assert rows == [["p", -1, 1, 1, 10, 5, 0.0], ["p", 60, 1, 0, 10, 5, 0.25]]


REMADE = f"""{ROWS}
with connection.schema_editor() as editor:
    editor._remake_table(Message)
    editor._remake_table(Conversation)
say()
lost = count("searchqueue")
call_command("migrate", verbosity=0)
say()
print(json.dumps([lost, count("searchqueue")]))
"""


def test_a_table_that_sqlite_makes_anew_gets_its_triggers_back(either: Databases) -> None:
    database = either.new()
    if not is_sqlite(database.url):
        pytest.skip("PostgreSQL changes tables in place")
    lost, after = run(database.url, REMADE)
    assert (lost, after) == (1, 2), "the title, before; then a message"


DELETED = f"""{ROWS}
message = say()
other = connection.copy()
other.set_autocommit(False)
with other.cursor() as cursor:
    cursor.execute("DELETE FROM conversations_message WHERE id = %s", [message.pk])
    seen = indexing.index_for(5), count("searchqueue")
    other.commit()
other.close()
print(json.dumps([seen, indexing.index_for(5), count("searchqueue"), count("searchdocument")]))
"""


def test_what_is_being_deleted_is_neither_waited_for_nor_indexed(either: Databases) -> None:
    database = either.new()
    if is_sqlite(database.url):
        pytest.skip("SQLite has one writer")
    assert run(database.url, DELETED) == [[1, 1], 1, 0, 1], "the title alone"


def test_several_servers_index_everything_once(own_server: Server, alice: Client) -> None:
    with own_server.neighbour() as neighbour:
        other = neighbour.client("alice")
        for number in range(6):
            (alice, other)[number % 2].post("/api/chat", json={"message": f"ibis {number}"}).raise_for_status()
        wait_indexed(own_server)
        items = other.get("/api/conversations/search", params={"q": "ibis", "limit": 100}).json()["items"]
        assert len(items) == len({(item["conversation_id"], item["message_id"]) for item in items}) == 6 * 3
        assert "could not be brought up to date" not in own_server.log() + neighbour.log()
