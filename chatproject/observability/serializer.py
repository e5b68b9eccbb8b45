"""JSON for Sentry: of our transactions without the SDK's serializer, and of everything without Python's own encoder.

The SDK walks every value of an event in Python, in search of what JSON does not know, and then encodes what it has
found. A turn's transaction holds nothing of that kind but times, which pydantic's encoder knows; the two together were
a third of what tracing it cost. What it cannot encode goes the SDK's way after all, as do errors.
"""

from collections.abc import Callable
from typing import Any

from pydantic_core import to_json
from sentry_sdk import client
from sentry_sdk.envelope import Envelope
from sentry_sdk.serializer import serialize as sdks_serialize
from sentry_sdk.utils import json_dumps

Json = dict[str, Any]


def install(*, spans_apart: bool) -> None:
    """Puts `serialize` in front of the SDK's own (2.75: `sentry_sdk.client.serialize`).

    `spans_apart`: the SDK will send the gen_ai spans as items of their own (its option `stream_gen_ai_spans`).
    """
    sdks = getattr(client, "serialize")  # noqa: B009 (no public name)
    setattr(client, "serialize", in_front_of(sdks, spans_apart=spans_apart))  # noqa: B010


def in_front_of(sdks: Callable[..., Any], *, spans_apart: bool) -> Callable[..., Any]:
    def serialize(event: Json, **options: Any) -> Any:
        spans = event.get("spans")
        # One that has lost spans, for there were too many, has a note of that in their place.
        if event.get("type") != "transaction" or not isinstance(spans, list):
            return sdks(event, **options)
        if spans_apart:  # it looks for their times in what its serializer has made of them
            event["spans"] = [sdks(span, **options) if is_gen_ai(span) else span for span in spans]
        return event

    return serialize


def is_gen_ai(span: Json) -> bool:
    return str(span.get("op")).startswith("gen_ai.")


def encode(envelope: Envelope) -> bytes:
    """The envelope as it travels."""
    for item in envelope.items:
        payload = item.payload
        if payload.bytes is None and payload.json is not None:
            payload.bytes = as_json(payload.json)
    return envelope.serialize()


def as_json(value: Any) -> bytes:
    try:
        return to_json(value, inf_nan_mode="null")
    except ValueError:  # an object of the SDK's, or of nobody knows whom; one that holds itself; half a character
        return json_dumps(sdks_serialize(value))
