"""Readies our transactions for JSON without the SDK's serializer.

The SDK walks every value of an event in Python, in search of what JSON does not know. A turn's transaction holds
nothing of that kind but four sorts of times, and the walk was a quarter of what tracing it cost. An event that has
something else after all goes the SDK's way, as do errors.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sentry_sdk import client
from sentry_sdk.utils import format_timestamp

Json = dict[str, Any]


def install() -> None:
    """Puts `serialize` in front of the SDK's own (2.75: `sentry_sdk.client.serialize`)."""
    setattr(client, "serialize", in_front_of(getattr(client, "serialize")))  # noqa: B009, B010 (no public name)


def in_front_of(sdks: Callable[..., Any]) -> Callable[..., Any]:
    def serialize(event: Json, **options: Any) -> Any:
        if event.get("type") == "transaction":
            plain = with_plain_times(event)
            if is_json(plain):
                return plain
        return sdks(event, **options)

    return serialize


def with_plain_times(transaction: Json) -> Json:
    spans = transaction.get("spans")
    if isinstance(spans, list):
        transaction = {**transaction, "spans": [plain_times(span) for span in spans]}
    return plain_times(transaction)


def plain_times(part: Json) -> Json:
    times = {
        name: format_timestamp(part[name])
        for name in ("start_timestamp", "timestamp")
        if isinstance(part.get(name), datetime)
    }
    return {**part, **times}


def is_json(event: Json) -> bool:
    """Whether the SDK's transport will be able to write it."""
    try:
        json.dumps(event, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
