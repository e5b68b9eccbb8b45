"""What became of each item."""

from collections.abc import Mapping

import pytest

from chatproject.observability.doctor.fates import Fate, fates_of
from chatproject.observability.doctor.payloads import Parcel, Sample
from chatproject.observability.doctor.servers import BUGSINK, GLITCHTIP, SENTRY, UNKNOWN, Server
from chatproject.observability.doctor.verdicts import Outcome

OPTIONS = {"dsn": "https://key@sentry.example.com/1", "environment": "staging", "release": "1", "server_name": "host"}


def parcel(name: str) -> Parcel:
    return next(each for each in Sample(OPTIONS).parcels() if each.parts[0].name == name)


def fate(item: str, status: int, headers: Mapping[str, str] | None = None, server: Server = UNKNOWN) -> Fate:
    """Of the first item of the envelope that starts with `item`."""
    return fates_of(parcel(item), Outcome(status, headers or {}), server, [])[0]


LIMITS = {"x-sentry-rate-limits": "60:profile_duration;log_byte:organization:quota"}


@pytest.mark.parametrize("item", ["error", "transaction", "profile", "log", "metric"])
def test_an_accepted_item_is_not_said_to_be_kept(item: str) -> None:
    found = fate(item, 200)
    assert (found.fate, found.taken) == ("accepted", True)
    assert "only the API can tell" in found.reason


@pytest.mark.parametrize(
    ("item", "result"),
    [
        ("error", "accepted"),
        ("transaction", "accepted"),
        ("profile", "rate_limited"),
        ("log", "rate_limited"),
        ("metric", "accepted"),
    ],
)
def test_a_limit_beside_a_200_is_told_of_the_items_it_covers(item: str, result: str) -> None:
    found = fate(item, 200, LIMITS, SENTRY)
    assert found.fate == result
    assert found.retry_after_s == (60 if result == "rate_limited" else None)


def test_a_429_limits_each_item_by_its_own_category() -> None:
    outcome = Outcome(429, {"x-sentry-rate-limits": "60:span:organization"})
    found = fates_of(parcel("transaction"), outcome, SENTRY, [])
    assert [(each.item, each.fate, each.retry_after_s) for each in found] == [
        ("transaction", "accepted", None),
        ("gen_ai span", "rate_limited", 60),
    ]


def test_a_bare_429_limits_everything() -> None:
    assert {each.fate for each in fates_of(parcel("transaction"), Outcome(429), SENTRY, [])} == {"rate_limited"}


@pytest.mark.parametrize(
    ("server", "item", "result", "words"),
    [
        (BUGSINK, "error", "accepted", "Bugsink keeps"),
        (BUGSINK, "transaction", "ignored", "Bugsink answers 200"),
        (BUGSINK, "log", "ignored", "drops"),
        (GLITCHTIP, "transaction", "accepted", "GlitchTip keeps"),
        (GLITCHTIP, "log", "accepted", "only the API can tell"),
        (GLITCHTIP, "metric", "ignored", "GlitchTip answers 200"),
    ],
)
def test_it_knows_what_a_server_ignores(server: Server, item: str, result: str, words: str) -> None:
    found = fate(item, 200, server=server)
    assert found.fate == result
    assert words in found.reason


def test_bugsinks_standing_limit_is_no_limit_that_ends() -> None:
    found = fate("transaction", 200, {"x-sentry-rate-limits": "86400:transaction;span:organization"}, BUGSINK)
    assert (found.fate, found.retry_after_s) == ("ignored", None)


def test_a_rejected_item_says_why_without_a_secret() -> None:
    outcome = Outcome(403, body=b'{"detail": "bad key hunter2"}')
    [found] = fates_of(parcel("error"), outcome, UNKNOWN, ["hunter2"])
    assert (found.fate, found.status, found.verdict, found.detail) == ("rejected", 403, "unknown_key", "bad key ***")
    assert found.fix
