"""Log records that say whose they are: the ids on each, one JSON object a line for machines, plain lines for people.

The ids are of the request and, once a turn has begun, of its conversation. They live in a context variable and not on a
logger, so that they are right whatever runs at the same time.
"""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter
from sentry_sdk.utils import capture_internal_exceptions

from chatproject.observability import telemetry

IDS = ("request_id", "trace_id", "conversation_id")
FIELDS = (*IDS, "method", "path", "status", "duration_ms")
"""What of a record's extras is written. A library's may hold anything: Django's request shows its query string."""

_ids: ContextVar[dict[str, str] | None] = ContextVar("ids", default=None)


def begin(**ids: str) -> None:
    """Starts a request. Tasks and threads that it starts share the object, and so what `note` adds in any of them."""
    _ids.set(ids)


def note(**ids: str) -> None:
    """Adds ids to the records of this request."""
    known = _ids.get()
    if known is None:
        begin(**ids)
    else:
        known.update(ids)


class Ids(logging.Filter):
    """For a handler: sets those of IDS that are known on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(_ids.get() or {})
        return True


class Line(logging.Formatter):
    """A line for people, with the ids at its end."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = (f" {name.removesuffix('_id')}={getattr(record, name)}" for name in IDS if hasattr(record, name))
        return super().formatMessage(record) + "".join(ids)


class JsonLines(JsonFormatter):
    """A JSON object, on one line: timestamp, level, logger, message, what is known of FIELDS, exc_info."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data |= {"level": record.levelname, "logger": record.name, "message": record.message}
        log_data |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        # The redacted text, where there is one; the base class would format the exception anew.
        if text := record.exc_text or message_dict.get("exc_info"):
            log_data["exc_info"] = text


class SentryHandler(logging.Handler):
    """Sends each record as a Sentry log, with what is known of FIELDS as its attributes."""

    def emit(self, record: logging.LogRecord) -> None:
        with capture_internal_exceptions():
            text, number = SEVERITIES.get(record.levelno, ("info", 9))
            attributes = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
            attributes["logger.name"] = record.name
            telemetry.log(text, number, record.getMessage(), record.created, attributes.get("trace_id"), attributes)


SEVERITIES = {
    logging.INFO: ("info", 9),
    logging.WARNING: ("warn", 13),
    logging.ERROR: ("error", 17),
    logging.CRITICAL: ("fatal", 21),
}
"""OpenTelemetry's name and number of each level."""

FORMATTERS = {"line": Line, "json": JsonLines}
"""The values of LOG_FORMAT."""


def adopt(name: str, log_format: str) -> None:
    """Has the handlers of a logger that LOGGING does not configure, such as gunicorn's, write like ours."""
    for handler in logging.getLogger(name).handlers:
        handler.setFormatter(FORMATTERS[log_format]())
        handler.addFilter(Ids())
