"""The limits that an answer of Sentry announces. Format: https://develop.sentry.dev/sdk/expected-features/rate-limiting/"""

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime

from chatproject.observability.doctor.verdicts import Outcome, printable

DEFAULT_WAIT = 60
"""Seconds that the SDK waits after a 429 that names none."""


@dataclass(frozen=True)
class RateLimit:
    seconds: int
    categories: list[str]
    """Kinds of data it covers, such as error or transaction; empty for all."""
    scope: str
    reason: str

    def covers(self, categories: frozenset[str]) -> bool:
        return not self.categories or not categories.isdisjoint(self.categories)


def rate_limits(outcome: Outcome) -> list[RateLimit]:
    """The limits in X-Sentry-Rate-Limits: `seconds:categories:scope:reason, ...`. What cannot be read is left out."""
    limits = []
    for part in printable(outcome.headers.get("x-sentry-rate-limits", "")).split(","):
        seconds, categories, scope, reason, *_ = [*part.strip().split(":"), "", "", "", ""]
        if seconds.isdecimal():
            limits.append(RateLimit(int(seconds), [c for c in categories.split(";") if c], scope, reason))
    return limits


def limit_seconds(
    outcome: Outcome, categories: frozenset[str], envelope: frozenset[str], now: datetime | None = None
) -> int | None:
    """How long Sentry wants no data of these categories, in seconds; None when it does not limit them.

    The header counts whatever the status: beside a 200 it announces what will be dropped from now on. A 429 with it
    may have taken the rest of the envelope (whose items have the categories `envelope`); a 429 that names none of
    them, or nothing at all, has taken nothing.
    """
    limits = rate_limits(outcome)
    if found := [limit.seconds for limit in limits if limit.covers(categories)]:
        return max(found)
    if outcome.status != 429 or any(limit.covers(envelope) for limit in limits):
        return None
    if limits:
        return max(limit.seconds for limit in limits)
    return _retry_after(outcome.headers.get("retry-after", ""), now or datetime.now(UTC)) or DEFAULT_WAIT


def _retry_after(value: str, now: datetime) -> int | None:
    """Retry-After in seconds, from either of its forms: a number or an HTTP date."""
    if value.isdecimal():
        return int(value)
    try:
        return max(0, round((email.utils.parsedate_to_datetime(value) - now).total_seconds()))
    except (ValueError, TypeError):
        return None
