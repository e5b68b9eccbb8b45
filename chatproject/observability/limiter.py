"""Caps the events of one failure that goes on and on: a thousand identical ones tell no more than ten.

Per worker process. What was held back is counted, and the count goes along with the next event of its kind.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sentry_sdk.types import Event, Hint

INTERVAL = 10.0
"""Seconds after which another event of the same kind may go, once the burst is used up."""

KINDS = 300
"""Kinds of failure remembered; beyond that, the one not seen for longest is forgotten."""


@dataclass(slots=True)
class Bucket:
    """The state of one kind of failure: how many events may go at once, and how many did not."""

    tokens: float
    filled: float
    """When `tokens` was true, in seconds of the limiter's clock."""
    dropped: int = 0
    since: str = ""


class Limiter:
    """A `before_send` that lets `burst` events of a kind go at once, then one every INTERVAL. 0 lets all go."""

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()  # errors are captured in the event loop and in the database threads
        self._buckets: OrderedDict[tuple[str, ...], Bucket] = OrderedDict()

    def __call__(self, event: Event, hint: Hint) -> Event | None:
        """The event, or None when it is one too many; the SDK's capture then returns no id."""
        # before_send also sees cron check-ins, which are no errors; those have no type.
        if not self._burst or event.get("type"):
            return event
        taken = self.take(kind_of(event))
        if taken is None:
            return None
        dropped, since = taken
        if dropped:
            event.setdefault("contexts", {})["dropped"] = {"events": dropped, "since": since}
        return event

    def take(self, kind: tuple[str, ...]) -> tuple[int, str] | None:
        """None when this is one too many of its kind; else how many were since the last, and since when."""
        with self._lock:
            bucket = self._bucket(kind)
            if bucket.tokens < 1:
                bucket.since = bucket.since or datetime.now(UTC).isoformat(timespec="seconds")
                bucket.dropped += 1
                return None
            bucket.tokens -= 1
            dropped, since = bucket.dropped, bucket.since
            bucket.dropped, bucket.since = 0, ""
            return dropped, since

    def _bucket(self, kind: tuple[str, ...]) -> Bucket:
        """The kind's bucket, filled up to now."""
        now = self._clock()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(self._burst, now)
            if len(self._buckets) > KINDS:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(kind)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) / INTERVAL)
        bucket.filled = now
        return bucket


def kind_of(event: Event) -> tuple[str, ...]:
    """What Sentry would make one issue: the fingerprint, else the exception's type, where it arose, and the route."""
    fingerprint = event.get("fingerprint")
    if fingerprint and "{{ default }}" not in fingerprint:
        return tuple(fingerprint)
    exceptions = (event.get("exception") or {}).get("values") or [{}]
    frames = (exceptions[-1].get("stacktrace") or {}).get("frames") or [{}]
    where = (frames[-1].get("module"), frames[-1].get("lineno"))
    message = "" if exceptions[-1] else (event.get("logentry") or {}).get("message") or event.get("message")
    return tuple(map(str, (exceptions[-1].get("type"), *where, message, event.get("transaction"))))
