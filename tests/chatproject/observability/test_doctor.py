"""The diagnosis, without a network: what an answer means, and what is shown of it."""

from datetime import UTC, datetime

import pytest

from chatproject.observability.doctor import VERDICTS, Outcome, detail_of, diagnose, without_key
from chatproject.observability.ratelimits import RateLimit, rate_limits, wait_seconds

DSN = "https://public:secret@sentry.example.com:8443/prefix/42"


def test_only_one_verdict_accepts() -> None:
    assert [verdict.code for verdict in VERDICTS if verdict.accepted] == ["accepted"]


def test_every_verdict_says_why_and_what_to_do() -> None:
    assert all(verdict.reason and verdict.fix for verdict in VERDICTS)


def test_a_web_page_is_no_sentry_whatever_its_status() -> None:
    assert diagnose(Outcome(status=200, body=b"\n<!doctype html>")).code == "not_sentry"


def test_an_empty_200_is_accepted() -> None:
    assert diagnose(Outcome(status=200)).accepted


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
    assert wait_seconds(limits("60:error:organization, 90::project, 2700:profile:organization")) == 90


def test_a_limit_on_other_data_is_no_reason_to_wait() -> None:
    assert wait_seconds(limits("2700:profile;transaction:organization", status=200)) is None


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
    assert wait_seconds(outcome, datetime(2026, 11, 24, 10, 0, tzinfo=UTC)) == seconds


def test_it_shows_the_servers_own_words() -> None:
    body = b'{"detail": "rejected with_reason: ProjectId", "causes": ["project", "state"]}'
    assert detail_of(Outcome(status=403, body=body), DSN) == "rejected with_reason: ProjectId; project; state"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b"{}", b'{"detail": null}', b"\xff"])
def test_it_shows_nothing_of_an_answer_that_is_not_sentrys(body: bytes) -> None:
    assert detail_of(Outcome(status=403, body=body), DSN) == ""


def test_neither_the_key_nor_a_terminals_control_codes_are_shown() -> None:
    shown = detail_of(Outcome(failure="refused", detail="\x1b[2Jpublic and secret\nrefused"), DSN)
    assert shown == "[2J*** and *** refused"


def test_a_long_answer_is_cut() -> None:
    assert len(detail_of(Outcome(failure="refused", detail="x" * 10_000), DSN)) == 300


def test_a_dsn_is_shown_without_its_keys() -> None:
    assert without_key(DSN) == "https://***@sentry.example.com:8443/prefix/42"
    assert without_key("") == ""
