"""What sentry_check sends: the five kinds of data that the server sends, each as its SDK (2.75) would, and harmless.

Written out, since the SDK makes them only while a request is traced, logged and profiled. The tests compare them with
what it sends. Formats: https://develop.sentry.dev/sdk/data-model/envelope-items/
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sentry_sdk.consts import VERSION
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.utils import Dsn, format_timestamp, serialize_attribute

NAME = "sentry_check"
TITLE = "Test event of manage.py sentry_check"
SDK = {"name": "sentry.python", "version": VERSION}
SPAN_CONTENT = "application/vnd.sentry.items.span.v2+json"
LOG_CONTENT = "application/vnd.sentry.items.log+json"
METRIC_CONTENT = "application/vnd.sentry.items.trace-metric+json"


@dataclass(frozen=True)
class Part:
    """One item of an envelope."""

    name: str
    """What people call it."""
    categories: frozenset[str]
    """Sentry's names for this kind of data in a rate limit."""
    item: Item

    @property
    def type(self) -> str:
        return str(self.item.type)


@dataclass(frozen=True)
class Parcel:
    """One envelope, as the SDK would fill it."""

    parts: list[Part]
    headers: dict[str, Any]

    @property
    def categories(self) -> frozenset[str]:
        return frozenset().union(*(part.categories for part in self.parts))

    def envelope(self) -> Envelope:
        return Envelope(headers=self.headers, items=[part.item for part in self.parts])


class Sample:
    """One traced turn that never happened: all of it has the same trace, and the moment `now`."""

    def __init__(self, options: Mapping[str, Any], now: datetime | None = None) -> None:
        """`options` are those of a client."""
        self.options = options
        self.end = now or datetime.now(UTC)
        self.start = self.end - timedelta(milliseconds=20)
        self.event_id, self.transaction_id = uuid.uuid4().hex, uuid.uuid4().hex
        self.trace_id, self.profiler_id = uuid.uuid4().hex, uuid.uuid4().hex
        self.span_id, self.gen_ai_span_id = uuid.uuid4().hex[:16], uuid.uuid4().hex[:16]

    def parcels(self) -> list[Parcel]:
        """The error first: without it, nothing else is worth a try."""
        return [
            Parcel([part("error", ["error"], self.error(), type="event")], self._headers(self.event_id)),
            Parcel(self._transaction_parts(), self._headers(self.transaction_id)),
            Parcel([self._profile_part()], self._headers()),
            Parcel([batch("log", ["log_item", "log_byte"], "log", self.log(), LOG_CONTENT)], self._headers()),
            Parcel(
                [batch("metric", ["trace_metric", "trace_metric_byte"], "trace_metric", self.metric(), METRIC_CONTENT)],
                self._headers(),
            ),
        ]

    def error(self) -> dict[str, Any]:
        """An exception at level info, so that it alarms nobody. All are one issue, which can be ignored in Sentry."""
        mechanism = {"type": NAME, "handled": True}
        return {
            "event_id": self.event_id,
            "timestamp": format_timestamp(self.end),
            "level": "info",
            "logger": NAME,
            "exception": {"values": [{"type": "SentryCheck", "value": TITLE, "module": None, "mechanism": mechanism}]},
            "fingerprint": ["sentry-check"],
            "transaction": NAME,
            "contexts": {"trace": self._trace_context()},
            **self._origin(),
        }

    def transaction(self) -> dict[str, Any]:
        """With the gen_ai span inside, unless the client sends such spans as items of their own."""
        return {
            "type": "transaction",
            "event_id": self.transaction_id,
            "transaction": NAME,
            "transaction_info": {"source": "custom"},
            "start_timestamp": format_timestamp(self.start),
            "timestamp": format_timestamp(self.end),
            "contexts": {"trace": self._trace_context(), "profile": {"profiler_id": self.profiler_id}},
            "spans": [] if self._separate_spans else [self._inner_span()],
            **self._origin(),
        }

    def gen_ai_span(self) -> dict[str, Any]:
        """The span as an item of its own (format 2)."""
        attributes = {
            **self._attributes(),
            **self._gen_ai(),
            "sentry.op": "gen_ai.chat",
            "sentry.origin": "manual",
            "sentry.segment.name": NAME,
            "sentry.segment.id": self.span_id,
        }
        return {
            "status": "ok",
            "is_segment": False,
            "trace_id": self.trace_id,
            "span_id": self.gen_ai_span_id,
            "parent_span_id": self.span_id,
            "name": f"chat {NAME}",
            "start_timestamp": self.start.timestamp(),
            "end_timestamp": self.end.timestamp(),
            "attributes": typed(attributes),
        }

    def profile(self) -> dict[str, Any]:
        """A chunk of a continuous profile: one frame, seen twice."""
        frame = {"function": NAME, "module": NAME, "filename": f"{NAME}.py", "abs_path": f"{NAME}.py", "lineno": 1}
        moments = (self.start.timestamp(), self.end.timestamp())
        return {
            "chunk_id": uuid.uuid4().hex,
            "profiler_id": self.profiler_id,
            "client_sdk": SDK,
            "platform": "python",
            "version": "2",
            "profile": {
                "frames": [frame],
                "stacks": [[0]],
                "samples": [{"timestamp": moment, "thread_id": "1", "stack_id": 0} for moment in moments],
                "thread_metadata": {"1": {"name": "MainThread"}},
            },
            **self._release(),
        }

    def log(self) -> dict[str, Any]:
        severity = {"sentry.severity_number": 9, "sentry.severity_text": "info"}
        return {
            "timestamp": self.end.timestamp(),
            "level": "info",
            "body": TITLE,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "attributes": typed({**self._attributes(), **severity}),
        }

    def metric(self) -> dict[str, Any]:
        return {
            "timestamp": self.end.timestamp(),
            "name": NAME,
            "type": "counter",
            "value": 1.0,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "attributes": typed(self._attributes()),
        }

    @property
    def _separate_spans(self) -> bool:
        return bool(self.options.get("stream_gen_ai_spans", True))

    def _transaction_parts(self) -> list[Part]:
        parts = [part("transaction", ["transaction"], self.transaction(), type="transaction")]
        if self._separate_spans:
            parts.append(batch("gen_ai span", ["span"], "span", self.gen_ai_span(), SPAN_CONTENT))
        return parts

    def _profile_part(self) -> Part:
        categories = ["profile_chunk", "profile_duration"]
        return part("profile", categories, self.profile(), type="profile_chunk", headers={"platform": "python"})

    def _inner_span(self) -> dict[str, Any]:
        return {
            "trace_id": self.trace_id,
            "span_id": self.gen_ai_span_id,
            "parent_span_id": self.span_id,
            "same_process_as_parent": True,
            "op": "gen_ai.chat",
            "description": f"chat {NAME}",
            "origin": "manual",
            "status": "ok",
            "start_timestamp": format_timestamp(self.start),
            "timestamp": format_timestamp(self.end),
            "data": self._gen_ai(),
        }

    def _gen_ai(self) -> dict[str, Any]:
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": NAME,
            "gen_ai.request.model": NAME,
            "gen_ai.response.streaming": False,
            "gen_ai.usage.input_tokens": 1,
            "gen_ai.usage.output_tokens": 1,
            "gen_ai.usage.total_tokens": 2,
        }

    def _trace_context(self) -> dict[str, Any]:
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": None,
            "op": NAME,
            "origin": "manual",
            "status": "ok",
        }

    def _headers(self, event_id: str | None = None) -> dict[str, Any]:
        """Of an envelope. With an event go its id and the facts that Sentry's dynamic sampling decides by."""
        sent_at = {"sent_at": format_timestamp(self.end)}
        if event_id is None:
            return sent_at
        trace = {
            "trace_id": self.trace_id,
            "transaction": NAME,
            "sampled": "true",
            "sample_rate": "1.0",
            "sample_rand": "0.000000",
            **({"public_key": Dsn(self.options["dsn"]).public_key} if self.options["dsn"] else {}),
            **self._release(),
        }
        return {"event_id": event_id, **sent_at, "trace": trace}

    def _origin(self) -> dict[str, Any]:
        return {
            "platform": "python",
            "server_name": self.options["server_name"] or "",
            "sdk": {**SDK, "packages": [{"name": "pypi:sentry-sdk", "version": VERSION}], "integrations": []},
            **self._release(),
        }

    def _release(self) -> dict[str, str]:
        return {key: str(self.options[key]) for key in ("release", "environment") if self.options[key]}

    def _attributes(self) -> dict[str, Any]:
        """What the SDK puts on each log, metric and span."""
        return {
            "sentry.sdk.name": SDK["name"],
            "sentry.sdk.version": SDK["version"],
            "server.address": self.options["server_name"] or "",
            **{f"sentry.{key}": value for key, value in self._release().items()},
        }


def part(name: str, categories: list[str], payload: dict[str, Any], **item: Any) -> Part:
    return Part(name, frozenset(categories), Item(payload=PayloadRef(json=payload), **item))


def batch(name: str, categories: list[str], type: str, payload: dict[str, Any], content_type: str) -> Part:
    """An item of the kind that holds many of a thing; here, one."""
    many = {"version": 2, "items": [payload]}
    return part(name, categories, many, type=type, content_type=content_type, headers={"item_count": 1})


def typed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: serialize_attribute(value) for key, value in attributes.items()}
