"""What is odd: each check, once where it applies; facts in order give none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sentry_sdk import Client

from chatproject.observability import sentry
from chatproject.observability.doctor.oddities import (
    CHECKS,
    Facts,
    clock_ahead,
    environment_in,
    find,
    forces_incoming_traces,
)

SOUND = Facts(environment="production", release="1.2.3", traces_sample_rate=0.1, profiles_sample_rate=0.1)

ODD: list[tuple[str, dict[str, Any], str]] = [
    ("profiling_without_tracing", {"traces_sample_rate": 0.0}, "Profiling is on and tracing off"),
    ("switched_off", {"switched_off": "profiles, logs"}, "sends no profiles, logs"),
    ("pii_in_production", {"send_pii": True}, "IP addresses"),
    ("prompts_in_production", {"include_prompts": True}, "text of production's messages"),
    ("release_missing", {"release": ""}, "no release"),
    ("clock_skew", {"clock_ahead_s": 61.4}, "61 s ahead of"),
    ("clock_skew", {"clock_ahead_s": -3600}, "3600 s behind"),
    ("proxy_in_effect", {"proxy": "proxy.example.com:3128"}, "proxy.example.com:3128"),
    ("proxy_answered", {"via": "1.1 squid"}, "1.1 squid"),
    ("web_page_answered", {"web_page": True}, "web page"),
    ("other_environment", {"project_slug": "chat-stg"}, "chat-stg, which sounds like staging"),
    ("other_project", {"slug_project": "7", "dsn_project": "42"}, "project 7, and the DSN project 42"),
    ("incoming_traces_forced", {"incoming_traces_forced": True}, "sentry-trace"),
]


@pytest.mark.parametrize(("id", "facts", "words"), ODD, ids=[id for id, _, _ in ODD])
def test_it_finds_what_is_odd(id: str, facts: dict[str, Any], words: str) -> None:
    [oddity] = find(Facts(**{**SOUND.__dict__, **facts}))
    assert oddity.id == id
    assert words in oddity.text
    assert oddity.fix


def test_every_check_is_tested() -> None:
    assert {check.id for check in CHECKS} == {id for id, _, _ in ODD}


def test_sound_facts_are_not_odd() -> None:
    assert find(SOUND) == []


def test_nothing_that_is_unknown_is_odd() -> None:
    assert find(Facts(environment="development")) == []


@pytest.mark.parametrize("facts", [{"send_pii": True}, {"include_prompts": True}])
def test_pii_and_prompts_are_fine_outside_production(facts: dict[str, Any]) -> None:
    assert find(Facts(environment="staging", **facts)) == []


def test_a_clock_may_be_off_by_a_minute() -> None:
    assert find(Facts(environment="staging", clock_ahead_s=60)) == []
    assert find(Facts(environment="staging", clock_ahead_s=-60)) == []


@pytest.mark.parametrize(
    "slug", ["chat-production", "chat", "prod", "production-v2", "live-chat", "product", "developer"]
)
def test_a_slug_of_this_or_of_no_environment_is_fine(slug: str) -> None:
    assert find(Facts(environment="production", project_slug=slug)) == []


@pytest.mark.parametrize(
    ("slug", "environment"),
    [
        ("chat-dev", "development"),
        ("CHAT_STAGING", "staging"),
        ("prod.chat", "production"),
        ("dev-and-prod", ""),  # of both: of neither
        ("chat", ""),
        ("", ""),
    ],
)
def test_it_reads_an_environment_out_of_a_slug(slug: str, environment: str) -> None:
    assert environment_in(slug) == environment


NOW = datetime(2026, 11, 24, 10, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Tue, 24 Nov 2026 10:00:00 GMT", 120),
        ("Tue, 24 Nov 2026 10:03:00 GMT", -60),
        ("", 0),
        ("yesterday", 0),
        ("Tue, 24 Nov 2026 10:00:00", 0),  # no zone
    ],
)
def test_it_compares_our_clock_with_a_date_header(date: str, seconds: int) -> None:
    assert clock_ahead(date, NOW) == seconds


def test_without_an_answer_the_clock_is_not_known() -> None:
    assert clock_ahead("Tue, 24 Nov 2026 10:00:00 GMT", None) == 0


@pytest.mark.parametrize(
    ("options", "forced"),
    [
        ({"traces_sample_rate": 0.0}, True),
        ({"traces_sample_rate": 0.5}, True),
        ({"traces_sample_rate": 0.5, "strict_trace_continuation": True}, False),
        ({}, False),  # no tracing at all
        ({"traces_sampler": sentry.sampler(0.0)}, False),
        ({"traces_sampler": sentry.sampler(0.3)}, False),
        ({"traces_sampler": lambda context: context["parent_sampled"] or 0.0}, True),
    ],
)
def test_it_asks_the_sampler_whether_incoming_traces_decide(options: dict[str, Any], forced: bool) -> None:
    client = Client(dsn="http://key@127.0.0.1:1/1", default_integrations=False, **options)
    assert forces_incoming_traces(client.options) is forced
    client.close(timeout=0)
