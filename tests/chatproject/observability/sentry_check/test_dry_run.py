"""sentry_check --dry-run."""

from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import Check
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.sentry_api import SentryApi


def test_a_dry_run_sends_nothing_and_shows_what_would_be_sent(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    facts = check(ingest.dsn, "--dry-run")
    assert (facts["exit"], facts["dry_run"]) == (0, True)
    assert ingest.raw == []
    assert api.asked == []
    assert facts["configuration"]["dsn"] == ingest.dsn.replace(KEY, "***")
    assert [item["item"] for item in facts["would_send"]] == [
        "error",
        "transaction",
        "gen_ai span",
        "profile",
        "log",
        "metric",
    ]
    assert facts["would_send"][0]["payload"]["exception"]["values"][0]["type"] == "SentryCheck"


def test_a_dry_run_needs_no_dsn(check: Check) -> None:
    facts = check("", "--dry-run")
    assert facts["exit"] == 0
    assert len(facts["would_send"]) == 6
