"""What leaves for Sentry is what the SDK's own serializer and encoder would have made of it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sentry_sdk import client as sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.serializer import serialize as sdks
from sentry_sdk.utils import AnnotatedValue

from chatproject.observability.serializer import as_json, encode, in_front_of
from tests.chatproject.observability.test_sentry import python
from tests.fakes.ingest import Ingest, parse

NOW = datetime(2026, 11, 24, 12, 30, 0, 123_456, tzinfo=UTC)
Json = dict[str, Any]


def transaction(**more: Any) -> Json:
    span = {"op": "db", "start_timestamp": NOW, "timestamp": NOW, "data": {"ok": True, "n": None, "list": [1, 2.5]}}
    return {"type": "transaction", "start_timestamp": NOW, "timestamp": NOW, "spans": [span], **more}


@pytest.fixture
def walked() -> list[Json]:
    """What has gone the SDK's way."""
    return []


@pytest.fixture
def serialize(walked: list[Json]) -> Any:
    def spy(event: Json, **options: Any) -> Any:
        walked.append(event)
        return sdks(event, **options)

    return in_front_of(spy, spans_apart=False)


def test_a_transaction_is_not_walked_and_leaves_as_the_sdk_would_write_it(serialize: Any, walked: list[Json]) -> None:
    event = transaction(tags={"a": "ä"}, contexts={"cost": 1e-7, "when": NOW})
    assert json.loads(as_json(serialize(event))) == sdks(event)
    assert walked == []


@pytest.mark.parametrize(
    "odd", [object(), "half \ud83d a pair", b"\xff", AnnotatedValue("[Filtered]", {"rem": [["!"]]})]
)
def test_what_the_encoder_cannot_take_goes_the_sdks_way(serialize: Any, odd: Any) -> None:
    event = transaction(contexts={"odd": {"value": odd}})
    assert json.loads(as_json(serialize(event))) == sdks(event)


def test_no_number_leaves_that_is_none_in_json() -> None:
    assert json.loads(as_json({"odd": [float("nan"), float("inf"), 1.5]})) == {"odd": [None, None, 1.5]}


def test_one_that_holds_itself_leaves_all_the_same(serialize: Any) -> None:
    event = transaction()
    event["contexts"] = {"self": event}
    assert json.loads(as_json(serialize(event)))["type"] == "transaction"


def test_one_that_has_lost_spans_says_so(serialize: Any, walked: list[Json]) -> None:
    event = transaction(spans=AnnotatedValue(transaction()["spans"], {"len": 1_001}))
    assert serialize(event)["_meta"] == {"spans": {"": {"len": 1_001}}}
    assert walked == [event]


def test_errors_go_the_sdks_way(serialize: Any, walked: list[Json]) -> None:
    event = {"timestamp": NOW, "exception": {"values": []}}
    serialize(event)
    assert walked == [event]


def test_an_envelope_travels_with_all_its_items() -> None:
    envelope = Envelope(headers={"event_id": "e"})
    envelope.add_transaction(transaction())  # type: ignore[arg-type]
    envelope.add_sessions({"aggregates": []})
    assert parse(encode(envelope)) == [("transaction", sdks(transaction())), ("sessions", {"aggregates": []})]


def test_the_sdk_still_calls_what_is_put_in_front_of_its_serializer(ingest: Ingest) -> None:
    assert sdk.serialize is sdks  # type: ignore[attr-defined]
    code = """
import sentry_sdk, chatproject.settings
from sentry_sdk import client
ours, calls = client.serialize, []
client.serialize = lambda event, **options: calls.append(event["type"]) or ours(event, **options)
sentry_sdk.start_transaction(name="t", sampled=True).__enter__().__exit__(None, None, None)
sentry_sdk.flush()
assert ours.__module__ == "chatproject.observability.serializer"
assert calls == ["transaction"]
"""
    python(code, SENTRY_DSN=ingest.dsn)
    assert len(ingest.items("transaction")) == 1
