"""The system checks for production: one id, one test; each silent where its setting is fine."""

from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

FINE: dict[str, Any] = {
    "PRODUCTION": True,
    "SENTRY_DSN": "https://key@sentry.example.com/1",
    "SENTRY_TRACES_SAMPLE_RATE": 0.1,
    "SENTRY_PROFILES_SAMPLE_RATE": 0.1,
    "SENTRY_SEND_DEFAULT_PII": False,
    "SENTRY_INCLUDE_PROMPTS": False,
    "SENTRY_DEBUG_OPEN": False,
    "DEBUG": False,
}
DOUBTFUL: dict[str, Any] = {
    "SENTRY_TRACES_SAMPLE_RATE": 1.0,
    "SENTRY_PROFILES_SAMPLE_RATE": 1.0,
    "SENTRY_SEND_DEFAULT_PII": True,
    "SENTRY_INCLUDE_PROMPTS": True,
    "SENTRY_DEBUG_OPEN": True,
    "DEBUG": True,
}


@pytest.fixture(autouse=True)
def production(settings: Settings) -> None:
    """Settings that no check has anything to say about."""
    use(settings, **FINE)


def use(settings: Settings, **values: Any) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


def ids(deploy: bool = True) -> list[str]:
    """What our own checks say, by id."""
    found = run_checks(include_deployment_checks=deploy)
    ours = [message for message in found if (message.id or "").startswith("observability.")]
    assert all(message.msg and message.hint for message in ours)
    return [str(message.id) for message in ours]


def test_it_has_nothing_against_careful_settings() -> None:
    assert ids() == []


def test_it_warns_of_tracing_everything(settings: Settings) -> None:
    settings.SENTRY_TRACES_SAMPLE_RATE = 1.0
    assert ids() == ["observability.W001"]


def test_it_warns_of_profiling_everything(settings: Settings) -> None:
    settings.SENTRY_PROFILES_SAMPLE_RATE = 1.0
    assert ids() == ["observability.W002"]


def test_it_does_not_mind_the_profile_rate_where_nothing_is_traced(settings: Settings) -> None:
    use(settings, SENTRY_PROFILES_SAMPLE_RATE=1.0, SENTRY_TRACES_SAMPLE_RATE=0.0)
    assert ids() == []


def test_it_warns_of_personal_data(settings: Settings) -> None:
    settings.SENTRY_SEND_DEFAULT_PII = True
    assert ids() == ["observability.W003"]


def test_it_warns_of_debug(settings: Settings) -> None:
    settings.DEBUG = True
    assert ids() == ["observability.W004"]


def test_it_warns_of_an_open_sentry_debug(settings: Settings) -> None:
    settings.SENTRY_DEBUG_OPEN = True
    assert ids() == ["observability.W005"]


def test_it_warns_of_a_missing_dsn(settings: Settings) -> None:
    settings.SENTRY_DSN = ""
    assert ids() == ["observability.W006"]


def test_it_warns_of_message_text(settings: Settings) -> None:
    settings.SENTRY_INCLUDE_PROMPTS = True
    assert ids() == ["observability.W007"]


def test_without_a_dsn_it_does_not_mind_what_sentry_would_get(settings: Settings) -> None:
    use(settings, **{**DOUBTFUL, "SENTRY_DSN": "", "DEBUG": False, "SENTRY_DEBUG_OPEN": False})
    assert ids() == ["observability.W006"]


def test_it_is_silent_outside_of_production(settings: Settings) -> None:
    use(settings, **{**DOUBTFUL, "PRODUCTION": False})
    assert ids() == []


def test_a_plain_check_tells_only_what_no_start_should_go_without(settings: Settings) -> None:
    use(settings, **DOUBTFUL)
    assert ids(deploy=False) == ["observability.W007"]
