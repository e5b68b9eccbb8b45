"""Release health: each request is a session, counted by how it went."""

from collections import Counter

from tests.conftest import StartServer
from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.server import Server

STATES = ("exited", "errored", "crashed", "abnormal")


def sessions(server: Server, client: Client, ingest: Ingest) -> Counter[str]:
    """Ends the server, which sends its sessions, and counts them by state."""
    client.close()
    assert server.terminate() == 0
    payloads = ingest.items("sessions")
    assert {tuple(sorted(p["attrs"].items())) for p in payloads} == {(("environment", "staging"), ("release", "1.2.3"))}
    counts: Counter[str] = Counter()
    for payload in payloads:
        for minute in payload["aggregates"]:
            counts.update({state: minute[state] for state in STATES if state in minute})
    return counts


def start(start_server: StartServer, ingest: Ingest, **environment: str) -> Server:
    return start_server(SENTRY_DSN=ingest.dsn, SENTRY_RELEASE="1.2.3", SENTRY_ENVIRONMENT="staging", **environment)


def test_a_failed_provider_is_an_error_and_a_bug_is_a_crash(start_server: StartServer, ingest: Ingest) -> None:
    server = start(start_server, ingest)
    client = server.client()
    for stream in (False, True):
        client.post("/api/chat", json={"message": "hi", "stream": stream})
        client.post("/api/chat", json={"message": "hi", "stream": stream, "model": "status-500"})
        client.post("/api/chat", json={"message": "hi", "stream": stream, "model": "drop-mid-stream"})
    client.get("/nothing")
    client.post("/api/chat", json={"message": ""})
    client.get("/sentry-debug")
    assert sessions(server, client, ingest) == {"exited": 4, "errored": 4, "crashed": 1}


def test_a_bug_in_the_middle_of_a_stream_is_a_crash(start_server: StartServer, ingest: Ingest) -> None:
    server = start(start_server, ingest, DJANGO_SETTINGS_MODULE="tests.fakes.faulty_settings")
    client = server.client()
    for stream in (False, True):
        client.post("/api/chat", json={"message": "hi", "stream": stream, "model": "bug-mid-stream"})
    assert sessions(server, client, ingest) == {"crashed": 2}


def test_a_failure_whose_event_was_held_back_counts_all_the_same(start_server: StartServer, ingest: Ingest) -> None:
    server = start(start_server, ingest, SENTRY_EVENT_BURST="1")
    client = server.client()
    for _ in range(3):
        client.post("/api/chat", json={"message": "hi", "model": "status-500"})
        client.get("/sentry-debug")
    assert sessions(server, client, ingest) == {"errored": 3, "crashed": 3}
    assert len(ingest.items("event")) == 2


def test_probes_and_static_files_are_no_sessions(start_server: StartServer, ingest: Ingest) -> None:
    server = start(start_server, ingest)
    client = server.client()
    for path in ("/health", "/health/ready", "/static/admin/css/base.css", "/api/providers", "/health"):
        assert client.get(path).status_code == 200
    assert sessions(server, client, ingest) == {"exited": 1}
