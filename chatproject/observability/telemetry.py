"""Puts metrics and log lines into the SDK's batchers, past its scopes.

The SDK's calls merge three scopes for each item, which costs as much as a database statement (100 to 150 us); a turn
makes nine items. Here an item costs about 10 us. Batching, the queue's bound, the count of what is lost and the flush
at the end remain the SDK's.
"""

import time
from collections.abc import Mapping
from functools import cache
from typing import Literal

import sentry_sdk
from sentry_sdk.consts import VERSION
from sentry_sdk.types import Log, Metric
from sentry_sdk.utils import capture_internal_exceptions

from chatproject.observability import context

Value = str | int | float | bool


def metric(
    kind: Literal["counter", "distribution", "gauge"],
    name: str,
    value: float,
    unit: str | None = None,
    *,
    trace_id: str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> None:
    """Queues one metric."""
    with capture_internal_exceptions():
        item: Metric = {
            "timestamp": time.time(),
            "trace_id": trace_id or context.trace_id(),  # Relay drops a metric without one
            "span_id": None,
            "name": name,
            "type": kind,
            "value": float(value),
            "unit": unit,
            "attributes": {**of_the_process(), **(attributes or {})},
        }
        if batcher := sentry_sdk.get_client().metrics_batcher:
            batcher.add(item)


def log(level: str, number: int, body: str, when: float, trace_id: str | None, attributes: Mapping[str, Value]) -> None:
    """Queues one log line, of `when` in seconds of the epoch. `level` and `number` are OpenTelemetry's severity."""
    with capture_internal_exceptions():
        item: Log = {
            "severity_text": level,
            "severity_number": number,
            "body": body,
            "time_unix_nano": int(when * 1e9),
            "trace_id": trace_id or context.trace_id(),
            "span_id": None,
            "attributes": {**of_the_process(), **attributes},
        }
        if batcher := sentry_sdk.get_client().log_batcher:
            batcher.add(item)


@cache
def of_the_process() -> dict[str, Value]:
    """What the SDK says of the process on each of its own items."""
    options = sentry_sdk.get_client().options
    known = {
        "sentry.sdk.name": "sentry.python",
        "sentry.sdk.version": VERSION,
        "sentry.environment": options["environment"],
        "sentry.release": options["release"],
        "server.address": options["server_name"],
    }
    return {name: value for name, value in known.items() if value}
