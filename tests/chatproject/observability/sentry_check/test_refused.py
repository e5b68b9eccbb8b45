"""sentry_check where Sentry's answer is no."""

import pytest

from tests.chatproject.observability.sentry_check.command import Check
from tests.fakes.ingest import Ingest


@pytest.mark.parametrize(
    ("status", "verdict", "fix"),
    [
        (400, "malformed", "update"),
        (401, "unknown_key", "Client Keys"),
        (403, "unknown_key", "Client Keys"),
        (404, "no_project", "project number"),
        (413, "too_large", "client_max_body_size"),
        (500, "server_error", "later"),
        (503, "server_error", "later"),
        (599, "server_error", "later"),
        (204, "not_sentry", "host and path"),
        (418, "not_sentry", "host and path"),
    ],
)
def test_it_says_what_an_answer_means(check: Check, ingest: Ingest, status: int, verdict: str, fix: str) -> None:
    ingest.answer(status, body=b"" if status == 204 else b'{"detail": "its own words"}')
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["status"], facts["verdict"]) == (1, False, status, verdict)
    assert facts["reason"]
    assert fix in facts["fix"]
    assert facts["detail"] == ("" if status == 204 else "its own words")
    assert facts["event_url"] is None


def test_it_says_how_long_a_rate_limit_lasts(check: Check, ingest: Ingest) -> None:
    ingest.answer(429, {"Retry-After": "120"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 429, "rate_limited")
    assert facts["retry_after_s"] == 120
    assert "120 s" in facts["fix"]


def test_it_believes_sentrys_own_rate_limits_first(check: Check, ingest: Ingest) -> None:
    ingest.answer(429, {"Retry-After": "120", "X-Sentry-Rate-Limits": "60:error:key:spike, 2700:profile:project"})
    facts = check(ingest.dsn)
    assert facts["retry_after_s"] == 60
    assert [limit["seconds"] for limit in facts["rate_limits"]] == [60, 2700]


def test_a_wrong_project_is_not_accepted(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn.removesuffix("/1") + "/2")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 404, "no_project")


def test_a_web_page_is_not_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, body=b"<!doctype html><title>Log in</title>")
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 200, "not_sentry")


def test_a_redirect_without_end_is_not_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(307, {"Location": "/api/1/envelope/"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 307, "not_sentry")
