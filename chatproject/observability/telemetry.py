"""Puts metrics and log lines into the SDK's batchers, past its scopes and as they travel.

The SDK's calls merge three scopes for each item, which costs as much as a database statement (100 to 150 us); a turn
makes six items. Here an item costs a few microseconds, and shares what is alike in many with the others: while Sentry
is away the SDK keeps up to a hundred envelopes of them. Batching, the queue's bound, the count of what is lost and the
flush at the end remain the SDK's.
"""

import time
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Literal

import sentry_sdk
from sentry_sdk._log_batcher import LogBatcher
from sentry_sdk._metrics_batcher import MetricsBatcher
from sentry_sdk.consts import VERSION
from sentry_sdk.utils import capture_internal_exceptions, serialize_attribute

from chatproject.observability import context

Value = str | int | float | bool
Attributes = Mapping[str, Mapping[str, Any]]
"""As they travel: {name: {"value": ..., "type": ...}}."""


class Ready(dict[str, Any]):
    """An item as it travels."""

    __slots__ = ()


def install() -> None:
    """Has the SDK's batchers take such items (2.75: what travels of an item is its `_to_transport_format`)."""
    for batcher in (LogBatcher, MetricsBatcher):
        setattr(batcher, "_to_transport_format", staticmethod(unless_ready(batcher._to_transport_format)))  # noqa: B010


def unless_ready(sdks: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def to_transport_format(item: Any) -> Any:
        return item if type(item) is Ready else sdks(item)

    return to_transport_format


def metric(
    kind: Literal["counter", "distribution", "gauge"],
    name: str,
    value: float,
    unit: str | None = None,
    *,
    trace_id: str | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> None:
    """Queues one metric. Its attributes have few values: they are remembered."""
    with capture_internal_exceptions():
        item = Ready(
            timestamp=time.time(),
            trace_id=trace_id or context.trace_id(),  # Relay drops a metric without one
            name=name,
            type=kind,
            value=float(value),
            attributes=alike(**(attributes or {})),
        )
        if unit is not None:
            item["unit"] = unit
        put(sentry_sdk.get_client().metrics_batcher, item)


def log(level: str, number: int, body: str, when: float, trace_id: str | None, attributes: Mapping[str, Value]) -> None:
    """Queues one log line, of `when` in seconds of the epoch. `level` and `number` are OpenTelemetry's severity."""
    with capture_internal_exceptions():
        severity = alike(**{"sentry.severity_number": number, "sentry.severity_text": level})
        own = {name: serialize_attribute(value) for name, value in attributes.items()}
        item = Ready(
            timestamp=when,
            trace_id=trace_id or context.trace_id(),
            level=level,
            body=body,
            attributes={**severity, **own},
        )
        put(sentry_sdk.get_client().log_batcher, item)


def put(batcher: Any, item: Ready) -> None:
    """There is none when nothing of the kind is to be sent."""
    if batcher is not None:
        batcher.add(item)


@lru_cache(maxsize=1_000, typed=True)
def alike(**own: Value) -> Attributes:
    """Those of the process and these. Whoever gets them shares them with others."""
    return {name: serialize_attribute(value) for name, value in {**of_the_process(), **own}.items()}


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
