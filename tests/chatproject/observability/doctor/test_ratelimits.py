"""The limits that an answer announces, and for how long."""

from datetime import UTC, datetime

import pytest

from chatproject.observability.doctor.ratelimits import RateLimit, limit_seconds, rate_limits
from chatproject.observability.doctor.verdicts import Outcome

ERROR = frozenset({"error"})
TRANSACTION, SPAN = frozenset({"transaction"}), frozenset({"span"})


def limits(value: str, status: int = 429) -> Outcome:
    return Outcome(status=status, headers={"x-sentry-rate-limits": value})


def test_it_reads_the_rate_limits() -> None:
    assert rate_limits(limits("60:error;transaction:organization:quota_exceeded, 2700::project")) == [
        RateLimit(60, ["error", "transaction"], "organization", "quota_exceeded"),
        RateLimit(2700, [], "project", ""),
    ]


@pytest.mark.parametrize("value", ["", "soon:error", ",,", "::"])
def test_it_leaves_out_rate_limits_that_cannot_be_read(value: str) -> None:
    assert rate_limits(limits(value)) == []


def test_it_waits_for_the_longest_limit_on_errors() -> None:
    assert limit_seconds(limits("60:error:organization, 90::project, 2700:profile:organization"), ERROR, ERROR) == 90


def test_a_limit_on_other_data_is_no_reason_to_wait() -> None:
    assert limit_seconds(limits("2700:profile;transaction:organization", status=200), ERROR, ERROR) is None


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("120", 120),
        ("Tue, 24 Nov 2026 10:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 60),  # over already: as if none were named
        ("", 60),
        ("soon", 60),
        ("-5", 60),
    ],
)
def test_it_reads_either_form_of_retry_after(retry_after: str, seconds: int) -> None:
    outcome = Outcome(status=429, headers={"retry-after": retry_after})
    assert limit_seconds(outcome, ERROR, ERROR, datetime(2026, 11, 24, 10, 0, tzinfo=UTC)) == seconds


def test_a_limit_counts_beside_a_200_too() -> None:
    assert limit_seconds(limits("60:error:key:spike", status=200), ERROR, ERROR) == 60


def test_a_429_took_the_items_of_the_envelope_that_its_limits_do_not_cover() -> None:
    outcome = limits("60:span:organization")
    assert limit_seconds(outcome, SPAN, SPAN | TRANSACTION) == 60
    assert limit_seconds(outcome, TRANSACTION, SPAN | TRANSACTION) is None


def test_a_429_whose_limits_cover_no_item_of_the_envelope_took_nothing() -> None:
    assert limit_seconds(limits("2700:profile:organization"), ERROR, ERROR) == 2700
