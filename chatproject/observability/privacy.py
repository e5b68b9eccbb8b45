"""Keeps what users and the configuration supply out of error texts: those of Sentry's events and of the log.

An exception's text may hold anything: a validation error quotes the value, a database's the row. Types, stack traces
and our own messages are safe; the text goes through `redact` against all that came with the request.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from traceback import format_tb
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import safe_str

from chatproject.observability.redaction import CUT, redact, runs

# Request headers that may travel; every other value is filtered, so a new secret header cannot leak.
HEADERS = ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "x-request-id"]
SAFE_HEADERS = {name.encode() for name in (*HEADERS, "connection")}
NAME = re.compile(r"[a-z0-9._:/@+-]{0,128}", re.I)
DATABASE = ("django.db", "psycopg", "sqlite3")
"""Modules of exceptions whose further lines (DETAIL: ...) show rows."""
QUOTED = re.compile(r'\b(?:at|column|constraint|database|name|relation|role|socket|table|user) "[^"]*"|".*')
"""In their first line: something that has a name, or else a value, which may hold quotes as well."""


@dataclass(slots=True)
class Supplied:
    """What a request brought along. Nothing of it is looked at until an error's text is to be told."""

    scope: Mapping[str, Any] = field(default_factory=dict)
    body: list[bytes] = field(default_factory=list)
    more: list[Callable[[], Iterable[str]]] = field(default_factory=list)

    def texts(self) -> Iterator[str]:
        yield self.scope.get("query_string", b"").decode("latin-1")
        for name, value in self.scope.get("headers", ()):
            if name not in SAFE_HEADERS:
                yield value.decode("latin-1")
        yield from strings_of_body(b"".join(self.body))
        for texts in self.more:
            yield from texts()


_supplied: ContextVar[Supplied | None] = ContextVar("supplied", default=None)


def begin(scope: Mapping[str, Any]) -> Supplied:
    """Starts a request; the caller fills in its body. Tasks and threads that the request starts share the object."""
    supplied = Supplied(scope)
    _supplied.set(supplied)
    return supplied


def end() -> None:
    """The request is over: its body must not stay until the connection's next one."""
    _supplied.set(None)


def note(texts: Callable[[], Iterable[str]]) -> None:
    """Adds what else no error's text of this request may repeat; only called when there is one."""
    (_supplied.get() or begin({})).more.append(texts)


def told(text: str) -> str:
    """`text` as Sentry and the log may have it."""
    supplied = _supplied.get()
    try:
        return redact(text, supplied.texts() if supplied else (), secrets())
    except Exception:  # what is said about a failure must not be another
        return CUT


@lru_cache(maxsize=1_000)
def name(text: str) -> str:
    """What a provider calls something, its model or a finish reason, as Sentry may have it: nothing but a plain name.

    It is not held against the prompt, which has a word like `stop` as often as not; a name of one word may repeat it.
    """
    folded = text.casefold()
    secret = "\n".join(secrets()).casefold()
    shares = any(run in secret for run in runs(folded, 8)) or folded in secret.split("\n")
    return text if NAME.fullmatch(text) and not shares else CUT


def text_of(exc: BaseException) -> str:
    """The exception's text as Sentry and the log may have it."""
    return told_of(type(exc).__module__, safe_str(exc))


def told_of(module: str, text: str) -> str:
    """The text of an exception whose class is of `module`."""
    if not module.startswith(DATABASE):
        return told(text)
    return QUOTED.sub(lambda quoted: CUT if quoted[0][0] == '"' else quoted[0], told(text.split("\n", 1)[0]))


def strings_of_body(body: bytes) -> Iterator[str]:
    """Every string in a JSON body but the names of its fields, which are the API's; another body as a whole."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        yield body.decode("utf-8", "replace")
        return
    yield from strings_in(list(document.values()) if isinstance(document, dict) else document)


def strings_in(value: Any) -> Iterator[str]:
    """The strings in a JSON value, at any depth: values and names."""
    stack = [value]
    while stack:
        match stack.pop():
            case dict() as fields:
                stack += [*fields, *fields.values()]
            case list() as items:
                stack += items
            case bool() | None:
                pass
            case scalar:
                yield str(scalar)


def secrets() -> list[str]:
    """The configuration's secrets; none while the settings load, whose own errors repeat no value."""
    if not settings.configured:
        return []
    names = ("SECRET_KEY", "SENTRY_AUTH_TOKEN")
    found = [getattr(settings, name, "") for name in names]
    found += [provider.api_key for provider in getattr(settings, "CHAT_PROVIDERS", {}).values()]
    found += [database.get("PASSWORD") or "" for database in getattr(settings, "DATABASES", {}).values()]
    dsn = urlsplit(getattr(settings, "SENTRY_DSN", ""))
    found += [dsn.username or "", dsn.password or ""]
    return [secret for secret in found if secret]


def cut_exception_texts(event: Event, hint: Hint) -> Event:
    """A `before_send`: redacts the exceptions' texts, but for the one that whoever captured it vouches for."""
    exceptions = (event.get("exception") or {}).get("values") or []
    for exception in exceptions[:-1] if hint.get("safe_text") else exceptions:
        if isinstance(exception.get("value"), str):
            exception["value"] = told_of(str(exception.get("module")), exception["value"])
    return event


def drop_template_contexts(event: Event, hint: Hint) -> Event:
    """A `before_send_transaction`: the SDK puts all that a page shows on the span of its template, the admin's too."""
    spans: Any = event.get("spans") or []
    for span in spans:
        if span.get("op") == "template.render":
            span.get("data", {}).pop("context", None)
    return event


class RedactTracebacks(logging.Filter):
    """For a handler or a logger: tracebacks keep their frames, and lose what the exceptions' texts repeat."""

    def filter(self, record: logging.LogRecord) -> bool:
        exc = record.exc_info[1] if record.exc_info else None
        if exc is not None and not record.exc_text:
            try:
                # Of a task that nobody awaited: there is no telling whose request it was.
                text = CUT if record.name == "asyncio" else text_of(exc)
                message = record.getMessage()
                # asyncio's further lines hold the exception's repr, which is not its text.
                message = message.split("\n", 1)[0] if record.name == "asyncio" else message
                record.msg, record.args = message.replace(safe_str(exc) or CUT, text), ()
                record.exc_text = traceback_of(exc, text)
            except Exception:  # the log must not break what it tells of
                record.exc_text = type(exc).__name__
        return True


def traceback_of(exc: BaseException, text: str) -> str:
    """Like traceback.format_exception, the exception with `text` and those that led to it redacted."""
    frames = "".join(format_tb(exc.__traceback__))
    own = f"Traceback (most recent call last):\n{frames}{type(exc).__name__}: {text}"
    before = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return own if before is None else f"{traceback_of(before, text_of(before))}\n\nled to:\n\n{own}"
