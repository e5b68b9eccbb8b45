"""A transaction leaves as the SDK's own serializer would have written it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sentry_sdk import client as sdk
from sentry_sdk.serializer import serialize as sdks

from chatproject.observability.serializer import in_front_of
from tests.chatproject.observability.test_sentry import python
from tests.fakes.ingest import Ingest

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
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

    return in_front_of(spy)


def test_a_plain_transaction_is_written_as_the_sdk_would(serialize: Any, walked: list[Json]) -> None:
    assert serialize(transaction(tags={"a": "ä"})) == sdks(transaction(tags={"a": "ä"}))
    assert walked == []


@pytest.mark.parametrize("odd", [object(), float("nan"), {1, 2}, b"bytes", NOW])
def test_one_with_odd_values_goes_the_sdks_way(serialize: Any, walked: list[Json], odd: Any) -> None:
    event = transaction(contexts={"odd": {"value": odd}})
    assert serialize(event) == sdks(event)
    assert walked == [event]


def test_one_that_holds_itself_goes_the_sdks_way(serialize: Any, walked: list[Json]) -> None:
    event = transaction()
    event["contexts"] = {"self": event}
    serialize(event)
    assert walked == [event]


def test_errors_go_the_sdks_way(serialize: Any, walked: list[Json]) -> None:
    event = {"timestamp": NOW, "exception": {"values": []}}
    serialize(event)
    assert walked == [event]


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
