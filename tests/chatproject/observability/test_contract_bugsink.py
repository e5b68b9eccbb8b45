"""The contract's rows of failures that repeat, and what a real Bugsink and Sentry's normaliser make of what comes."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from chatproject.observability.limiter import INTERVAL
from tests.chatproject.observability.contract import ROWS, covers
from tests.chatproject.observability.watch import Watch
from tests.conftest import StartServer
from tests.fakes.bugsink import Bugsink
from tests.fakes.ingest import Ingest
from tests.fakes.normaliser import complaints
from tests.fakes.server import Server

ALIKE = "a thousand turns fail alike"
RATE = 0.1


def fail(server: Server, times: int) -> list[str]:
    """That many turns that fail alike, by four clients at once; the ids of the events that the answers name."""
    body = {"message": "hi", "model": "status-500"}

    def some(_: int) -> list[str]:
        client = server.client()
        answers = [client.post("/api/chat", json=body) for _ in range(times // 4)]
        client.close()  # gunicorn would wait for an idle connection
        assert {answer.status_code for answer in answers} == {502}
        return [answer.json()["sentry_event_id"] for answer in answers if "sentry_event_id" in answer.json()]

    with ThreadPoolExecutor(4) as pool:
        return [event_id for ids in pool.map(some, range(4)) for event_id in ids]


@covers("a thousand turns fail alike")
def test_a_thousand_failures_alike_are_few_events(start_server: StartServer, ingest: Ingest, watch: Watch) -> None:
    rates = {"SENTRY_TRACES_SAMPLE_RATE": str(RATE), "SENTRY_PROFILES_SAMPLE_RATE": "0"}
    server, started = start_server(SENTRY_DSN=ingest.dsn, **rates), time.monotonic()
    told = fail(server, 1000)
    most = ROWS[ALIKE].events + (time.monotonic() - started) / INTERVAL + 1
    server.terminate()
    events, transactions = ingest.items("event"), ingest.items("transaction")
    assert ROWS[ALIKE].events <= len(events) <= most
    assert {event["event_id"] for event in events} == set(told)
    assert len({tuple(event["fingerprint"]) for event in events}) == 1
    assert 40 < len(transactions) < 160, "six standard deviations from a tenth"
    assert {item["contexts"]["trace"]["status"] for item in transactions} == set(ROWS[ALIKE].statuses.values())
    watch.judge(events, transactions)


@covers("a thousand turns fail alike")
def test_failures_alike_are_one_issue_in_bugsink(start_server: StartServer, bugsink: Bugsink) -> None:
    server = start_server(SENTRY_DSN=bugsink.dsn, SENTRY_RELEASE="alike")
    told = fail(server, 40)
    client = server.client()
    other = client.post("/api/chat", json={"message": "hi", "model": "status-429"}).json()["sentry_event_id"]
    debug = client.get("/sentry-debug").json()["sentry_event_id"]
    client.close()
    server.terminate()
    [issue] = {bugsink.issue_of(event_id) for event_id in told}
    assert len({issue, bugsink.issue_of(other), bugsink.issue_of(debug)}) == 3
    # Other tests' failures of the kind are in the same issue; the release tells ours.
    found = {UUID(entry["event_id"]).hex for entry in bugsink.events(issue, "release:alike provider:fake")}
    assert ROWS[ALIKE].events <= len(found) < 40
    assert found == set(told)


def test_the_normaliser_finds_what_is_wrong() -> None:
    event = {"event_id": "a" * 32, "timestamp": time.time(), "level": "error", "tags": {"a": "b"}}
    assert complaints(event) == []
    [bad_level] = complaints({**event, "level": "terrible"})
    [bad_tag] = complaints({**event, "tags": {"a": {"b": "c"}}})
    [unknown] = complaints({**event, "no_such_field": 1})
    assert [found.split(":")[0] for found in (bad_level, bad_tag, unknown)] == ["level", "tags.0.1", "no_such_field"]


def test_bugsink_stores_only_what_fits_sentrys_schema(bugsink: Bugsink) -> None:
    event = {"timestamp": time.time(), "platform": "python", "level": "error"}
    bugsink.send({**event, "event_id": "b" * 32})
    assert bugsink.event("b" * 32)["data"]["level"] == "error"
    bugsink.send({**event, "event_id": "c" * 32, "no_such_field": 1})
    with pytest.raises(AssertionError, match="404"):
        bugsink.event("c" * 32)
