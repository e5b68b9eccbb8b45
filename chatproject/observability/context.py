"""What the rest of the code may say to Sentry. Without a DSN every call is the SDK's cheap no-op.

Tags and contexts go on the isolation scope, which lives as long as the request; a scope of our own held
across a `yield` would lose them in the middle of a stream. Nothing here raises: what the SDK cannot take is left out.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Span
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import capture_internal_exceptions, event_from_exception


def trace_id() -> str:
    """The current trace's id, 32 hex digits; a random one when Sentry is off."""
    with capture_internal_exceptions():
        if sentry_sdk.is_initialized():
            return str(sentry_sdk.get_current_scope().get_trace_context()["trace_id"])
    return uuid.uuid4().hex


def tag(**tags: str) -> None:
    """Tags every event and the transaction of this request."""
    with capture_internal_exceptions():
        scope = sentry_sdk.get_isolation_scope()
        for key, value in tags.items():
            scope.set_tag(TAG_NAMES.get(key, key), value)


# Tags whose name is no Python identifier.
TAG_NAMES = {"outcome": "chat.outcome"}


def contexts(blocks: Callable[[], Mapping[str, Mapping[str, Any]]]) -> None:
    """Attaches blocks of details to every later event of this request; made when there is one, which is seldom.

    No message text, no secret.
    """

    def attach(event: Event, hint: Hint) -> Event:
        with capture_internal_exceptions():  # without the details, rather than without the event
            event.setdefault("contexts", {}).update({name: dict(block) for name, block in blocks().items()})
        return event

    if sentry_sdk.is_initialized():
        with capture_internal_exceptions():
            sentry_sdk.get_isolation_scope().add_event_processor(attach)


def user(user_id: str, username: str, email: str) -> None:
    """Says who is asking, when SENTRY_SEND_DEFAULT_PII allows it: what is set by hand, the SDK does not drop."""
    with capture_internal_exceptions():
        client = sentry_sdk.get_client()
        if client.is_active() and client.options["data_collection"]["user_info"]:
            known = {"id": user_id, "username": username, "email": email}
            sentry_sdk.get_isolation_scope().set_user({key: value for key, value in known.items() if value})


def breadcrumb(message: str, **data: Any) -> None:
    with capture_internal_exceptions():
        sentry_sdk.add_breadcrumb(category="request", type="http", level="info", message=message, data=data)


@contextmanager
def own_transaction(op: str) -> Iterator[None]:
    """A scope and a transaction for work that may outlast its request: in its trace, with all that is known of it.

    What is told inside is not told of the request. To be entered and left in one task.
    """
    if not sentry_sdk.is_initialized():
        yield
        return
    parent = sentry_sdk.get_current_scope().transaction
    with sentry_sdk.isolation_scope():
        told: dict[str, Any] = {"name": "detached work", "trace_id": trace_id()}
        if parent is not None:
            told |= {"name": parent.name, "source": parent.source, "sampled": parent.sampled}
            told["parent_span_id"] = parent.span_id
        with sentry_sdk.start_transaction(op=op, **told) as transaction:
            transaction.set_status("ok")  # unless `end_transaction` says otherwise
            yield


# Where a transaction carries the status that we gave it, until it is sent.
STATUS = "chat.status"


def fail_transaction() -> None:
    """Marks the transaction as failed, whatever the answer's HTTP status: a stream that breaks has already said 200."""
    end_transaction("internal_error")


def end_transaction(status: str) -> None:
    """Gives the transaction its final status, one of Sentry's span statuses."""
    with capture_internal_exceptions():
        transaction = sentry_sdk.get_current_scope().transaction
        if transaction is not None:
            transaction.set_data(STATUS, status)


def keep_status(event: Event, hint: Hint) -> Event:
    """A `before_send_transaction`: our own status wins. The SDK sets that of the HTTP status when the answer starts."""
    trace: dict[str, Any] = event["contexts"]["trace"]
    if status := trace.get("data", {}).pop(STATUS, None):
        trace["status"] = status
    return event


def capture(
    exc: BaseException,
    *,
    handled: bool = True,
    level: str = "error",
    fingerprint: list[str] | None = None,
    details: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None,
    safe_text: bool = False,
    span: Span | None = None,
) -> str | None:
    """Sends one event for `exc`, linked to `span` or the active one. Returns its id, or None when nothing was sent.

    `details` makes further contexts, of plain JSON, once it is certain that the event goes.
    `safe_text`: the exception's text is ours, word for word, so that nothing has to be cut out of it.
    """
    if not sentry_sdk.is_initialized():
        return None
    mechanism = {"type": "chat", "handled": handled}
    with capture_internal_exceptions(), sentry_sdk.new_scope() as scope:
        event, hint = event_from_exception(exc, client_options=sentry_sdk.get_client().options, mechanism=mechanism)
        hint |= {"safe_text": safe_text, "details": details}
        scope.set_level(level)  # type: ignore[arg-type]
        scope.fingerprint = fingerprint
        if span is not None:
            scope.span = span
        return _kept(sentry_sdk.capture_event(event, hint=hint))
    return None


def last_event_id() -> str | None:
    """The id of the event that the SDK sent last in this request."""
    return _kept(sentry_sdk.last_event_id()) if sentry_sdk.is_initialized() else None


def _kept(event_id: str | None) -> str | None:
    """None while Sentry has asked us to send it no events: the SDK drops them, and gives an id all the same."""
    transport = sentry_sdk.get_client().transport
    if isinstance(transport, HttpTransport) and transport._check_disabled("error"):
        return None
    return event_id
