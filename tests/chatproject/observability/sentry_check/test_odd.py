"""What sentry_check finds odd, where the facts come from answers (the rest is in doctor/test_oddities.py)."""

import json

import pytest
from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import Check, odd
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.sentry_api import SentryApi


def test_a_sound_set_up_is_not_odd(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_RELEASE = "1.2.3"
    settings.SENTRY_ENABLE_LOGS = True  # as with a DSN in the environment
    assert odd(check(ingest.dsn)) == set()


def test_it_takes_the_settings_into_account(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_ENVIRONMENT = "production"
    settings.SENTRY_RELEASE = ""
    settings.SENTRY_TRACES_SAMPLE_RATE = 0.0
    settings.SENTRY_PROFILES_SAMPLE_RATE = 1.0
    settings.SENTRY_SEND_DEFAULT_PII = settings.SENTRY_INCLUDE_PROMPTS = True
    assert odd(check(ingest.dsn)) == {
        "profiling_without_tracing",
        "switched_off",
        "pii_in_production",
        "prompts_in_production",
        "release_missing",
    }


@pytest.mark.parametrize(("offset", "words"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_clock_that_differs_from_the_servers(check: Check, api: SentryApi, offset: int, words: str) -> None:
    api.clock_offset = offset
    [oddity] = [oddity for oddity in check(api.dsn)["oddities"] if oddity["id"] == "clock_skew"]
    assert words in oddity["text"]


def test_a_proxy_that_takes_the_envelopes(check: Check, api: SentryApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", api.url.replace("http://", "http://user:hunter2@"))
    facts = check(f"http://{KEY}@sentry.invalid/1")
    assert (facts["exit"], facts["accepted"]) == (0, True)  # the proxy answered
    assert "proxy_in_effect" in odd(facts)
    assert facts["configuration"]["proxy"] == api.url.removeprefix("http://")
    assert "hunter2" not in json.dumps(facts)


def test_a_proxy_that_names_itself(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"Via": "1.1 squid"})
    assert "proxy_answered" in odd(check(ingest.dsn))


def test_a_web_page_in_the_place_of_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(502, body=b"<html>Bad gateway</html>")
    assert "web_page_answered" in odd(check(ingest.dsn))


def test_a_dsn_of_another_environments_project(check: Check, ingest: Ingest, with_token: Settings) -> None:
    with_token.SENTRY_ENVIRONMENT = "development"
    [oddity] = [oddity for oddity in check(ingest.dsn)["oddities"] if oddity["id"] == "other_environment"]
    assert "chat-staging" in oddity["text"]


def test_slugs_of_another_project(check: Check, ingest: Ingest, with_token: Settings) -> None:
    with_token.SENTRY_ORG, with_token.SENTRY_PROJECT = "acme", "shop"
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["storage"]["state"]) == (1, "unknown")
    assert "other_project" in odd(facts)


def test_an_sdk_that_lets_callers_force_traces(check: Check, ingest: Ingest) -> None:
    assert "incoming_traces_forced" in odd(check(ingest.dsn, traces_sample_rate=0.0))
