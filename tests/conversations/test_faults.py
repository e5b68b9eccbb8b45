"""Each fault of a provider, blocking and streamed, against the table of docs/providers.md (`make faults` writes it)."""

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from tests.conftest import fake
from tests.conversations.faults import FAULTS, NOWHERE, WRITING, Row, read_table, write_table
from tests.fakes.client import Json
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.ports import free_port
from tests.fakes.provider import Provider
from tests.fakes.server import Server

TABLE = read_table()
QUICK = {
    "CHAT_RETRIES": "1",
    "CHAT_RETRY_WAIT": "0.01",
    "CHAT_RETRY_WAIT_MAX": "1",
    "CHAT_CONNECT_TIMEOUT": "0.5",
    "CHAT_FIRST_TOKEN_TIMEOUT": "1",
    "CHAT_SILENCE_TIMEOUT": "1",
    "CHAT_TURN_TIMEOUT": "4",
    "CHAT_CIRCUIT_FAILURES": "0",
}


@pytest.fixture(scope="module")
def nowhere() -> Iterator[dict[str, str]]:
    """The base URLs of the providers that are none."""
    with ExitStack() as stack:
        plain = stack.enter_context(Ingest())
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = deaf.getsockname()[1]
        # Those who wait to be accepted: there is room for no other.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield {
            "refused": f"http://127.0.0.1:{free_port()}/v1",
            "dns": "http://no-such-host.invalid/v1",
            "tls": f"https://{urlsplit(plain.dsn).netloc.split('@')[1]}/v1",
            "deaf": f"http://127.0.0.1:{port}/v1",
        }


@pytest.fixture(scope="module")
def told() -> Iterator[Ingest]:
    with Ingest() as ingest:
        yield ingest


@pytest.fixture(scope="module")
def faulty(databases: Databases, _provider: Provider, told: Ingest, nowhere: dict[str, str]) -> Iterator[Server]:
    urls = {f"{name.upper()}_BASE_URL": url for name, url in nowhere.items()}
    models = {f"{name.upper()}_MODEL": "echo" for name in nowhere}
    sentry = {"SENTRY_DSN": told.dsn, "SENTRY_EVENT_BURST": "0", "SENTRY_PROFILES_SAMPLE_RATE": "0"}
    names = {"CHAT_PROVIDERS": ",".join(("fake", "patient", *nowhere))}
    patient = {"PATIENT_BASE_URL": _provider.url, "PATIENT_MODEL": "echo", "PATIENT_TURN_TIMEOUT": "60"}
    environment = fake(_provider) | names | patient | urls | models | QUICK | sentry
    with Server(databases.new(), databases.keys, **environment) as server:
        yield server


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Row]]:
    """What each fault has led to."""
    rows: dict[str, Row] = {}
    yield rows
    if WRITING:
        write_table(rows)


@pytest.mark.parametrize("fault", FAULTS | NOWHERE)
def test_each_fault_ends_as_the_document_says(
    faulty: Server, provider: Provider, told: Ingest, seen: dict[str, Row], fault: str
) -> None:
    blocking, streamed = (outcome(faulty, told, fault, streamed) for streamed in (False, True))
    assert streamed == blocking
    assert fault in NOWHERE or len(provider.chats) == 2 * blocking.attempts, "a row for each request"
    seen[fault] = blocking
    assert WRITING or blocking == TABLE[fault]


def outcome(server: Server, ingest: Ingest, fault: str, streamed: bool) -> Row:
    client, name = server.client(), f"fault-{secrets.token_hex(8)}"
    conversation = client.conversation()["id"]
    body = {"content": "hello", "stream": streamed, **choice(fault)}
    path = f"/api/conversations/{conversation}/messages"
    response = client.post(path, json=body, headers={"X-Request-ID": name})
    status = ending(response.text)["status"] if streamed and "message.failed" in response.text else response.status_code
    asked, answer = client.messages(conversation)
    assert (asked["content"], asked["status"]) == ("hello", "completed"), "whatever happens"
    ingest.wait_request(name)
    events = ingest.of_request(name, "event")
    client.close()
    return Row(
        attempts=len(attempts(server, answer["id"])),
        status=int(status),
        code=answer["error_code"] or "",
        message=answer["status"],
        text="whole" if answer["status"] == "completed" else "part" if answer["content"] else "none",
        events=len(events),
    )


def choice(fault: str) -> dict[str, str]:
    """Which provider and model a turn has to ask for, to meet with the fault."""
    if fault in NOWHERE:
        return {"provider": fault}
    if fault.startswith("tokens"):
        return {"provider": "patient", "model": fault}
    # A name of its own each time: the provider counts how often it was asked for.
    return {"model": f"{fault}-{secrets.token_hex(4)}" if fault.startswith(("flaky", "limited")) else fault}


def ending(events: str) -> Json:
    """The data of the last event."""
    return dict(json.loads(events.rstrip().rsplit("data: ", 1)[1]))


def attempts(server: Server, message_id: str) -> list[Json]:
    rows = server.db.query("SELECT * FROM conversations_messageattempt ORDER BY number")
    return [row for row in rows if UUID(str(row["message_id"])) == UUID(message_id)]


def test_the_table_has_a_row_for_each_fault_and_no_other() -> None:
    assert WRITING or list(TABLE) == list(FAULTS | NOWHERE)
    assert len(FAULTS | NOWHERE) > 30
