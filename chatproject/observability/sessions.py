"""Release health: what the SDK's count of sessions, one a request, leaves out or should."""

from collections.abc import Iterator
from contextlib import contextmanager

import sentry_sdk
from sentry_sdk.types import Event
from sentry_sdk.utils import capture_internal_exceptions


def note_held_back(event: Event) -> None:
    """Counts an error that the limiter kept here: the SDK only counts those that it sends, so that a release which
    fails all the time would look healthy.
    """
    with capture_internal_exceptions():
        scope = sentry_sdk.get_isolation_scope()
        scope._last_event_id = None  # of another event of this request, which this one's answer must not name
        session = scope._session
        if session is not None:
            exceptions = (event.get("exception") or {}).get("values") or []
            crashed = any((exception.get("mechanism") or {}).get("handled") is False for exception in exceptions)
            session.update(status="crashed" if crashed else None, errors=session.errors + 1)


@contextmanager
def uncounted() -> Iterator[None]:
    """A request inside is no session: probes never fail, and would make every release look healthy."""
    if not sentry_sdk.is_initialized():
        yield
        return
    with sentry_sdk.isolation_scope() as scope:  # the SDK's own, for the request, inherits it
        scope.stop_auto_session_tracking()
        yield
