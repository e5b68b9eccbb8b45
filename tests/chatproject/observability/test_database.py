"""The spans of database work."""

from datetime import datetime

import sentry_sdk

from tests.chatproject.observability.test_sentry import python
from tests.conftest import StartServer
from tests.fakes.client import Client, Json
from tests.fakes.ingest import Ingest
from tests.fakes.waiting import poll

IN_A_UNIT = """
import asyncio, django, sentry_sdk
django.setup()
from django.db import DatabaseError, connection
from chatproject import db

secret = 123456789 * 8 + 9  # not spelt out: Python 3.13 shows the lines of this program in a stack trace

def slow():
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n"
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute(count + " WHERE i <> %s", [secret])

def failing():
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s FROM nowhere", [secret])

def refusing():
    raise LookupError("no such conversation")

with sentry_sdk.start_transaction(name="t", sampled=True):
    asyncio.run(db.run(slow))
    for unit in (failing, refusing):
        try:
            asyncio.run(db.run(unit))
        except (DatabaseError, LookupError) as error:
            sentry_sdk.capture_exception(error)
sentry_sdk.flush()
"""


FOR_SEVERAL = """
import django, sentry_sdk
django.setup()
from django.db import connection
from chatproject.grouping import Groups

def is_told():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "SELECT 1" in [crumb["message"] for crumb in sentry_sdk.get_isolation_scope()._breadcrumbs]

print(is_told(), Groups().submit(is_told).result(10))
"""


def transaction(ingest: Ingest, name: str) -> Json:
    found = poll(lambda: [t for t in ingest.items("transaction") if t["transaction"] == name], what=name)
    return dict(found[0])


def duration(span: Json) -> float:
    """In seconds."""
    begun, ended = (datetime.fromisoformat(span[name]) for name in ("start_timestamp", "timestamp"))
    return (ended - begun).total_seconds()


def database_spans(transaction: Json) -> list[str]:
    return [span["description"] for span in transaction["spans"] if span["op"].startswith("db")]


def test_a_turn_has_a_span_for_each_unit_and_none_for_a_statement(client: Client, server_ingest: Ingest) -> None:
    server_ingest.clear()
    client.post("/api/chat", json={"message": "hi"})
    turn = transaction(server_ingest, "/api/chat")
    assert [name for name in database_spans(turn) if name != "connect"] == ["authenticate", "start_turn", "finish_turn"]


def test_the_admin_has_a_span_for_each_statement(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn).client(None)
    client.http.cookies.set("sessionid", "no-such-session")
    client.get("/admin/")
    assert any(name.startswith("SELECT") for name in database_spans(transaction(ingest, "/admin/")))


def test_a_slow_statement_in_a_unit_has_a_span_without_its_parameters(ingest: Ingest) -> None:
    python(IN_A_UNIT, SENTRY_DSN=ingest.dsn)
    [sent] = ingest.items("transaction")
    unit, slow, *_ = [span for span in sent["spans"] if span["description"] != "connect"]
    assert (unit["description"], slow["op"]) == ("slow", "db.sql.query")
    assert slow["parent_span_id"] == unit["span_id"]
    assert 0.1 < duration(slow) <= duration(unit)
    assert slow["description"].endswith("WHERE i <> %s")
    assert "SELECT 1" not in database_spans(sent)
    assert b"987654321" not in b"".join(ingest.raw)


def test_a_unit_fails_with_its_database_and_not_with_a_refusal(ingest: Ingest) -> None:
    python(IN_A_UNIT, SENTRY_DSN=ingest.dsn)
    [sent] = ingest.items("transaction")
    status = {span["description"]: span.get("status") for span in sent["spans"]}
    assert (status["failing"], status["refusing"]) == ("internal_error", None)
    event = ingest.items("event")[0]
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]][-1] == "SELECT %s FROM nowhere"


def test_nobody_is_told_of_the_statements_that_begin_and_end_a_group() -> None:
    assert python(FOR_SEVERAL, SENTRY_DSN="http://key@127.0.0.1:9/1").split() == ["True", "False"]


def test_without_a_dsn_djangos_own_statements_run() -> None:
    from django.db.backends.utils import CursorWrapper

    assert not sentry_sdk.is_initialized()
    assert CursorWrapper.execute.__module__ == "django.db.backends.utils"
