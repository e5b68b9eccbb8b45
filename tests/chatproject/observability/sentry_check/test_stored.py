"""sentry_check with a token: whether the event is stored, asked of Sentry's API."""

from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import Check
from tests.fakes.ingest import Ingest
from tests.fakes.sentry_api import TOKEN, SentryApi


def test_it_waits_until_the_event_is_stored(check: Check, ingest: Ingest, api: SentryApi, with_token: Settings) -> None:
    api.misses = 2
    facts = check(ingest.dsn)
    [event] = ingest.items("event")
    assert (facts["exit"], facts["accepted"], facts["fate"], facts["storage"]["state"]) == (0, True, "stored", "stored")
    assert facts["event_url"] == f"{api.url}/organizations/acme/issues/55/events/{event['event_id']}/"
    assert api.authorizations == {f"Bearer {TOKEN}"}


def test_it_asks_the_dsns_own_server_where_no_other_is_named(
    check: Check, api: SentryApi, with_token: Settings
) -> None:
    with_token.SENTRY_URL = ""
    facts = check(api.dsn)
    assert (facts["exit"], facts["fate"]) == (0, "stored")
    assert facts["configuration"]["api"] == api.url


def test_an_event_that_is_not_stored_is_a_failure(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    api.misses = float("inf")
    facts = check(ingest.dsn, "--wait", "0.3")
    assert (facts["exit"], facts["accepted"], facts["fate"]) == (1, False, "accepted")
    assert facts["storage"]["state"] == "not_stored"
    assert facts["storage"]["fix"]


def test_an_api_that_refuses_the_token_is_a_failure_without_the_token(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    api.forced = (401, {}, f'{{"detail": "bad token {TOKEN}"}}'.encode())
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["storage"]["state"]) == (1, "unknown")
    assert "SENTRY_AUTH_TOKEN" in facts["storage"]["fix"]


def test_a_token_that_the_server_repeats_is_hidden(check: Check, ingest: Ingest, with_token: Settings) -> None:
    ingest.answer(403, body=f'{{"detail": "no {TOKEN}"}}'.encode())
    assert check(ingest.dsn)["detail"] == "no ***"


def test_the_api_is_not_asked_for_an_event_that_was_not_accepted(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    ingest.answer(403)
    assert check(ingest.dsn)["storage"] is None
    assert api.asked == []


def test_without_a_token_the_api_is_not_asked(check: Check, ingest: Ingest, api: SentryApi, settings: Settings) -> None:
    settings.SENTRY_URL = api.url
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["fate"], facts["storage"]) == (0, "accepted", None)
    assert api.asked == []
