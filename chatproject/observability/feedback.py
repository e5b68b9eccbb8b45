"""Sends Sentry what a user thinks of an answer, as its User Feedback.

The SDK (2.75) has no call for it: its `capture_event` makes an item of type `event`. So the envelope is made here:
https://develop.sentry.dev/sdk/data-model/envelope-items/#user-feedback
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sentry_sdk
from sentry_sdk.consts import VERSION
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.utils import capture_internal_exceptions, format_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFeedback:
    """What a user says of one turn. Nothing but `text` is free text."""

    text: str
    """At most 4,096 characters, and not empty: Sentry drops an empty one."""
    trace_id: str
    event_id: str = ""
    """The event that the turn has sent, if any."""
    url: str | None = None
    user_id: str = ""
    username: str = ""
    email: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def send(feedback: UserFeedback) -> None:
    """Queues the feedback for Sentry. Without a DSN nothing happens; nothing is raised."""
    with capture_internal_exceptions():
        client = sentry_sdk.get_client()
        if client.is_active() and client.transport is not None:
            document = payload(feedback, client.options)
            item = Item(PayloadRef(json=document), type="feedback")
            headers = {"event_id": document["event_id"], "sent_at": document["timestamp"]}
            client.transport.capture_envelope(Envelope(headers, [item]))


def payload(feedback: UserFeedback, options: Mapping[str, Any]) -> dict[str, Any]:
    """The event document. It says who the user is only when SENTRY_SEND_DEFAULT_PII allows it."""
    told = options["data_collection"]["user_info"]
    person = {"id": feedback.user_id, "username": feedback.username, "email": feedback.email} if told else {}
    said = {
        "message": feedback.text,
        "source": "api",
        "url": feedback.url,
        "associated_event_id": feedback.event_id,
        "name": person.get("username"),
        "contact_email": person.get("email"),
    }
    document = {
        "event_id": uuid.uuid4().hex,
        "type": "feedback",
        "timestamp": format_timestamp(datetime.now(UTC)),
        "platform": "python",
        "level": "info",
        "environment": options["environment"],
        "release": options["release"],
        "sdk": {"name": "sentry.python", "version": VERSION},
        "user": known(person),
        "tags": known(feedback.tags),
        "contexts": {
            "feedback": known(said),
            # A trace context must name a span. The turn's own are not kept, and it is the trace that ties them.
            "trace": {"trace_id": feedback.trace_id, "span_id": uuid.uuid4().hex[:16]},
        },
    }
    return known(document)


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
