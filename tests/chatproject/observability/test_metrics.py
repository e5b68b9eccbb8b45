"""The figures of the turns, as Sentry receives them from the running server."""

import re
from collections import Counter
from itertools import groupby
from typing import Any

from tests.chatproject.observability.test_sentry import python
from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

Json = dict[str, Any]
OF_THE_PROCESS = ("sentry.", "server.", "process.")
OURS = ("outcome", "provider", "model", "kind")

A_TURN = """
import sentry_sdk, chatproject.settings
from decimal import Decimal
from chatproject.observability import metrics
metrics.turn(
    outcome="completed", provider="openai", model="gpt-x", trace_id="0" * 32,
    time_to_first_token_ms=120, duration_ms=800,
    input_tokens=7, output_tokens=3, cost_usd=Decimal("0.00012345"),
)
sentry_sdk.flush()
"""


def received(ingest: Ingest, name: str) -> list[Json]:
    """The metrics of this name, each with our attributes as plain values."""
    items = [item for payload in ingest.items("trace_metric") for item in payload["items"] if item["name"] == name]
    plain = [{key: a["value"] for key, a in item["attributes"].items() if key in OURS} for item in items]
    return [{**item, "ours": ours} for item, ours in zip(items, plain, strict=True)]


def stopped(server: Server, client: Client) -> None:
    client.close()
    assert server.terminate() == 0


def leave(client: Client) -> None:
    """A streamed turn whose client goes."""
    conversation = client.conversation()["id"]
    with client.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled")


def test_a_turn_is_counted_by_outcome_provider_and_model(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    for stream in (False, True):
        client.post("/api/chat", json={"message": "hi", "stream": stream})
        client.post("/api/chat", json={"message": "hi", "stream": stream, "model": "drop-mid-stream"})
        client.post("/api/chat", json={"message": "hi", "stream": stream, "model": "no-such-model"})
    client.post("/api/chat", json={"message": ""})  # no turn
    leave(client)
    stopped(server, client)
    turns = received(ingest, "chat.turns")
    assert {(turn["type"], turn["value"], turn["ours"].pop("provider")) for turn in turns} == {("counter", 1, "fake")}
    assert Counter((turn["ours"]["outcome"], turn["ours"]["model"]) for turn in turns) == {
        ("completed", "echo"): 2,
        ("failed", "drop-mid-stream"): 2,
        ("failed", "other"): 2,  # a name that no provider knows is no time series
        ("cancelled", "hang-mid-stream"): 1,
    }


def test_times_and_tokens_are_those_of_the_answer(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    answer = client.post("/api/chat", json={"message": "hi", "model": "tokens-5"}).json()
    failed = client.post("/api/chat", json={"message": "hi", "model": "status-500"}).json()
    stopped(server, client)
    [first] = received(ingest, "chat.time_to_first_token")  # the failed turn has none
    assert (first["type"], first["unit"], first["value"]) == ("distribution", "millisecond", answer["ttft_ms"])
    whole, _ = received(ingest, "chat.turn_duration")
    assert (whole["type"], whole["unit"], whole["value"]) == ("distribution", "millisecond", answer["latency_ms"])
    tokens = {metric["ours"]["kind"]: metric for metric in received(ingest, "chat.tokens")}
    assert {kind: metric["value"] for kind, metric in tokens.items()} == {
        "input": answer["usage"]["prompt_tokens"],
        "output": answer["usage"]["completion_tokens"],
    }
    assert (tokens["input"]["type"], tokens["input"]["unit"]) == ("counter", "token")
    assert [turn["trace_id"] for turn in received(ingest, "chat.turns")] == [answer["trace_id"], failed["trace_id"]]


def test_the_live_turns_are_gauged_as_they_come_and_go(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client, other = server.client(), server.client()
    one, two = (client.conversation()["id"] for _ in range(2))
    # What is saved is gauged, too.
    with client.stream(one, "go", model="hang-mid-stream"):
        other.wait_saved(one, PARTIAL)
        with server.client().stream(two, "go", model="hang-mid-stream"):
            other.wait_saved(two, PARTIAL)
    poll(lambda: {other.messages(each)[-1]["status"] for each in (one, two)} == {"cancelled"})
    other.close()
    stopped(server, client)
    gauges = received(ingest, "chat.live_streams")
    assert all(re.fullmatch("[0-9a-f]{32}", gauge["trace_id"]) for gauge in gauges), "Relay drops one without"
    assert {gauge["type"] for gauge in gauges} == {"gauge"}
    values = [value for value, _ in groupby(gauge["value"] for gauge in gauges)]
    assert values[:2] == [1, 2]
    assert values[-1] == 0


def test_a_turn_that_could_not_be_stored_has_failed(
    start_server: StartServer, ingest: Ingest, provider: Provider
) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    conversation = client.conversation()["id"]
    with client.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        server.db.query("ALTER TABLE conversations_message RENAME TO elsewhere")
        provider.release()
        assert list(stream)[-1].name == "message.failed"
    stopped(server, client)
    [turn] = received(ingest, "chat.turns")
    assert turn["ours"]["outcome"] == "failed"


def test_the_cost_is_in_dollars(ingest: Ingest) -> None:
    python(A_TURN, SENTRY_DSN=ingest.dsn)
    [cost] = received(ingest, "chat.cost")
    assert (cost["type"], cost["unit"], cost["value"]) == ("distribution", "usd", 0.00012345)
    assert cost["ours"] == {"outcome": "completed", "provider": "openai", "model": "gpt-x"}


def test_no_metric_tells_who_asked_or_what(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_SEND_DEFAULT_PII="true")
    client = server.client("alice")
    client.post("/api/chat", json={"message": "purple-elephant"})
    stopped(server, client)
    items = [item for payload in ingest.items("trace_metric") for item in payload["items"]]
    names = {name for item in items for name in item["attributes"] if not name.startswith(OF_THE_PROCESS)}
    assert names == set(OURS)
    assert "alice" not in str(items)
    assert "purple-elephant" not in str(items)
