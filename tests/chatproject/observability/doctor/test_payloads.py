"""What is sent is what the SDK itself would send: the same items, with the same keys of the same types."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope

from chatproject.observability.doctor.payloads import Sample
from tests.fakes.database import ROOT
from tests.fakes.ingest import Ingest

# A client of its own process, since the profiler is one for the whole process.
PROGRAM = """
import sys, threading, sentry_sdk
from sentry_sdk import logger, metrics
from sentry_sdk.profiler.continuous_profiler import ProfileChunk
from sentry_sdk._lru_cache import LRUCache
from sentry_sdk.profiler.utils import extract_stack
from sentry_sdk.envelope import Envelope

sentry_sdk.init(
    dsn=sys.argv[1], environment="staging", release="1.2.3", server_name="host", traces_sample_rate=1.0,
    profile_session_sample_rate=1.0, profile_lifecycle="trace", default_integrations=False,
    stream_gen_ai_spans=sys.argv[2] == "separate",
)
with sentry_sdk.start_transaction(op="sentry_check", name="sentry_check"):
    with sentry_sdk.start_span(op="gen_ai.chat", name="chat sentry_check") as span:
        span.set_data("gen_ai.operation.name", "chat")
        span.set_status("ok")
        try:
            raise ValueError
        except ValueError as error:
            sentry_sdk.capture_exception(error)
        logger.info("text")
        metrics.count("sentry_check", 1)
chunk = ProfileChunk()
stack = extract_stack(sys._getframe(), LRUCache(9), "")
for moment in (1.0, 2.0):
    chunk.write(moment, [(str(threading.get_ident()), stack)])
envelope = Envelope()
client = sentry_sdk.get_client()
envelope.add_profile_chunk(chunk.to_json("0" * 32, client.options, {"name": "sentry.python", "version": "0"}))
client.transport.capture_envelope(envelope)
client.close()
"""

Items = dict[str, tuple[dict[str, Any], dict[str, Any]]]
"""(header, payload) by type."""

# What the SDK adds that says nothing about us, or that only some events have.
LEFT_OUT = {
    "event": {"breadcrumbs", "transaction_info"},
    "transaction": {"tags", "measurements"},
}


@pytest.fixture(scope="module", params=["separate", "inside"])
def pair(request: pytest.FixtureRequest) -> tuple[Items, Items]:
    """(the SDK's items, ours), with gen_ai spans as items of their own or inside the transaction."""
    with Ingest() as ingest:
        command = [sys.executable, "-c", PROGRAM, ingest.dsn, request.param]
        subprocess.run(command, cwd=ROOT, check=True, timeout=60)
        theirs = items(Envelope.deserialize(body) for body in ingest.raw)
        options = {
            "dsn": ingest.dsn,
            "environment": "staging",
            "release": "1.2.3",
            "server_name": "host",
            "stream_gen_ai_spans": request.param == "separate",
        }
    parcels = Sample(options).parcels()
    return theirs, items(Envelope.deserialize(parcel.envelope().serialize()) for parcel in parcels)


def items(envelopes: Iterator[Envelope]) -> Items:
    return {
        str(item.type): ({k: v for k, v in item.headers.items() if k != "length"}, json.loads(item.get_bytes()))
        for envelope in envelopes
        for item in envelope.items
        if item.type != "session"
    }


def test_the_items_have_the_same_headers(pair: tuple[Items, Items]) -> None:
    theirs, ours = pair
    assert {type: header for type, (header, _) in ours.items()} == {
        type: header for type, (header, _) in theirs.items()
    }


@pytest.mark.parametrize("type", ["event", "transaction"])
def test_events_have_the_same_keys(pair: tuple[Items, Items], type: str) -> None:
    (_, theirs), (_, ours) = pair[0][type], pair[1][type]
    own = {"logger", "fingerprint"} if type == "event" else set()
    assert ours.keys() - own == theirs.keys() - LEFT_OUT[type]
    assert ours["contexts"].keys() >= {"trace"}
    assert [span.keys() for span in ours.get("spans", [])] == [
        span.keys() - {"tags", "timestamp_is_precise"} for span in theirs.get("spans", [])
    ]


@pytest.mark.parametrize("type", ["log", "trace_metric", "span"])
def test_batched_items_have_the_same_shape(pair: tuple[Items, Items], type: str) -> None:
    theirs, ours = pair
    if type not in theirs:
        assert type not in ours
        return
    [their_item], [our_item] = theirs[type][1]["items"], ours[type][1]["items"]
    assert ours[type][1].keys() == theirs[type][1].keys()
    assert kinds(our_item) == kinds(their_item)
    shared = our_item["attributes"].keys() & their_item["attributes"].keys()
    assert {"sentry.release", "sentry.environment", "server.address"} <= shared
    assert all(our_item["attributes"][key]["type"] == their_item["attributes"][key]["type"] for key in shared)


def test_a_profile_has_the_same_shape(pair: tuple[Items, Items]) -> None:
    (_, theirs), (_, ours) = pair[0]["profile_chunk"], pair[1]["profile_chunk"]
    assert kinds(ours) == kinds(theirs)
    assert kinds(ours["profile"]) == kinds(theirs["profile"])
    assert kinds(ours["profile"]["samples"][0]) == kinds(theirs["profile"]["samples"][0])
    # On some runs the SDK notes whether a frame is the application's, on others not.
    assert ours["profile"]["frames"][0].keys() == theirs["profile"]["frames"][0].keys() - {"in_app"}
    assert len(ours["profile"]["samples"]) > 1


def test_all_of_it_is_one_trace(pair: tuple[Items, Items]) -> None:
    _, ours = pair
    event, transaction = ours["event"][1], ours["transaction"][1]
    found = {
        event["contexts"]["trace"]["trace_id"],
        transaction["contexts"]["trace"]["trace_id"],
        ours["log"][1]["items"][0]["trace_id"],
        ours["trace_metric"][1]["items"][0]["trace_id"],
    }
    assert len(found) == 1
    assert transaction["contexts"]["profile"]["profiler_id"] == ours["profile_chunk"][1]["profiler_id"]


def kinds(document: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in document.items()}
