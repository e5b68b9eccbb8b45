"""Sends one test event and tells how the ingest endpoint answered. doctor.py says what that means.

The SDK's own way proves nothing: capture_event() returns an id and flush() returns None even after a 403. A second
client would not do either, since it restarts the process-wide profiler. So: a transport of our own, with the running
client's options (DSN, proxies, certificates, compression), that works inline and keeps the answer.
"""

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import urllib3
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event
from sentry_sdk.worker import Worker

from chatproject.observability.doctor import Outcome, failure_of, root_cause

# As the SDK it follows redirects, but it tries once: a second try would hide what went wrong with the first.
ONCE = urllib3.Retry(total=3, connect=0, read=0, other=0, raise_on_redirect=False)


class InlineWorker(Worker):
    """Runs each job at once, in the caller's thread."""

    is_alive = True

    def submit(self, callback: Callable[[], Any]) -> bool:
        callback()
        return True

    def full(self) -> bool:
        return False

    def kill(self) -> None:
        """There is nothing to end."""


class RecordingTransport(HttpTransport):
    """Keeps in `outcome` what came of the request."""

    def __init__(self, options: Mapping[str, Any], seconds: float) -> None:
        """`options` are those of a client; `seconds` is the longest wait for connection or answer."""
        self.TIMEOUT = seconds  # type: ignore[assignment]  # urllib3 takes fractions
        self.outcome: Outcome | None = None
        super().__init__(dict(options))

    def _create_worker(self, options: dict[str, Any]) -> Worker:
        return InlineWorker()

    def _request(
        self, method: str, endpoint_type: EndpointType, body: Any, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        url = self._auth.get_api_url(endpoint_type)
        try:
            response = self._pool.request(method, url, body=body, headers=headers, retries=ONCE)
        except Exception as error:
            self.outcome = Outcome(failure=failure_of(error), detail=root_cause(error))
            raise
        lowered = {name.lower(): value for name, value in response.headers.items()}
        self.outcome = Outcome(status=response.status, headers=lowered, body=response.data)
        return response


def make_event(options: Mapping[str, Any]) -> Event:
    """A harmless event. All of them are one issue in Sentry, which can be ignored there."""
    return {
        "event_id": uuid.uuid4().hex,
        "timestamp": datetime.now(UTC).isoformat(),  # type: ignore[typeddict-item]  # as the SDK's serialiser would write it
        "platform": "python",
        "level": "info",
        "logger": "sentry_check",
        "message": "Test event of manage.py sentry_check",
        "fingerprint": ["sentry-check"],
        "environment": options["environment"],
        "release": options["release"] or "",
        "server_name": options["server_name"] or "",
    }


def send(event: Event, options: Mapping[str, Any], seconds: float) -> Outcome:
    """Sends `event` as a client with `options` would, and waits at most `seconds` for the answer."""
    transport = RecordingTransport(options, seconds)
    envelope = Envelope(headers={"event_id": event["event_id"], "sent_at": event["timestamp"]})
    envelope.add_event(event)
    # In a thread, since no timeout of a socket bounds a slow name server or an answer that drips.
    thread = threading.Thread(target=transport.capture_envelope, args=(envelope,), daemon=True)
    thread.start()
    thread.join(seconds)
    return transport.outcome or Outcome(failure="timeout")
