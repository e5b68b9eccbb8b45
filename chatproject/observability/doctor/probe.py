"""The requests that sentry_check makes, with the time each may take. verdicts.py says what an answer means.

The SDK's own way proves nothing: capture_event() returns an id and flush() returns None even after a 403. A second
client would not do either, since it restarts the process-wide profiler. So: a transport of our own, with the running
client's options (DSN, proxies, certificates, compression), that works inline and keeps the answer.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import urllib3
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport
from sentry_sdk.worker import Worker

from chatproject.observability.doctor.verdicts import Outcome, failure_of, root_cause

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
    """Keeps in `outcome` what came of the last request."""

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
        return self.request(method, self._auth.get_api_url(endpoint_type), body=body, headers=headers, retries=ONCE)

    def request(self, method: str, url: str, **how: Any) -> urllib3.BaseHTTPResponse:
        try:
            response = self._pool.request(method, url, **how)
        except Exception as error:
            self.outcome = Outcome(failure=failure_of(error), detail=root_cause(error))
            raise
        lowered = {name.lower(): value for name, value in response.headers.items()}
        self.outcome = Outcome(response.status, lowered, response.data, at=datetime.now(UTC))
        return response

    def get(self, url: str, headers: Mapping[str, str]) -> None:
        # Redirects are not followed: a token belongs to the server that it was made for.
        with contextlib.suppress(Exception):  # kept in `outcome`
            self.request("GET", url, headers=headers, retries=False, redirect=False)


def send(envelope: Envelope, options: Mapping[str, Any], seconds: float) -> Outcome:
    """Sends `envelope` as a client with `options` would, and waits at most `seconds` for the answer."""
    transport = RecordingTransport(options, seconds)
    return _within(seconds, transport, lambda: transport.capture_envelope(envelope))


def get(url: str, options: Mapping[str, Any], seconds: float, headers: Mapping[str, str] | None = None) -> Outcome:
    """The answer to a GET, on the way that envelopes take (proxy, certificates)."""
    transport = RecordingTransport(options, seconds)
    return _within(seconds, transport, lambda: transport.get(url, headers or {}))


def _within(seconds: float, transport: RecordingTransport, work: Callable[[], None]) -> Outcome:
    # In a thread, since no timeout of a socket bounds a slow name server or an answer that drips.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return transport.outcome or Outcome(failure="timeout")


def proxy_of(options: Mapping[str, Any]) -> str:
    """`host:port` of the proxy that envelopes go through; empty when there is none. Never its password."""
    transport = RecordingTransport(options, seconds=1)
    parts = urlsplit(transport._resolve_proxy() or "")
    return parts.netloc.rpartition("@")[2]
