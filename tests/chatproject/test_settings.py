"""A malformed environment stops the start, with the variable's name and without its value."""

import os
import runpy

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatproject.apikeys.models import LIMITS
from tests.fakes.database import ROOT, manage

SECRET = "do-not-print-me"

MALFORMED = [
    ("SENTRY_DSN", f"https://{SECRET}@sentry.example.com"),
    ("SENTRY_ENVIRONMENT", f"prod-{SECRET}"),
    ("SENTRY_ENABLE_TRACING", SECRET),
    ("SENTRY_TRACES_SAMPLE_RATE", "1.5"),
    ("SENTRY_PROFILES_SAMPLE_RATE", "-1"),
    ("SENTRY_SEND_DEFAULT_PII", SECRET),
    ("SENTRY_INCLUDE_PROMPTS", SECRET),
    ("SENTRY_EVENT_URL", f"https://sentry.example.com/{SECRET}"),
    ("SENTRY_EVENT_URL", f"{SECRET}/{{event_id}}"),
    ("SENTRY_TRACE_URL", f"https://sentry.example.com/{SECRET}"),
    ("SENTRY_TRACE_URL", f"{SECRET}/{{trace_id}}"),
    ("SENTRY_SEND_FEEDBACK", SECRET),
    ("SENTRY_ENABLE_LOGS", SECRET),
    ("SENTRY_EVENT_BURST", "-1"),
    ("CHAT_KEY_REQUESTS_PER_MINUTE", "-1"),
    ("CHAT_KEY_BUDGET_DAY_USD", SECRET),
    ("CHAT_BUDGET_MAX_TOKENS", "0"),
    ("SENTRY_URL", f"sentry.example.com/{SECRET}"),
    ("PUBLIC_URL", f"chat.example.com/{SECRET}"),
    ("PUBLIC_URL", f"https://user:{SECRET}@chat.example.com"),
    ("SENTRY_DEBUG_OPEN", SECRET),
    ("DEBUG", SECRET),
    ("CORS_ALLOWED_ORIGINS", f"https://app.example.com/{SECRET}"),
    ("CORS_ALLOWED_ORIGINS", "*"),
    ("CORS_ALLOWED_ORIGINS", "null"),
    ("CORS_ALLOWED_ORIGINS", "app.example.com"),
    ("CORS_ALLOWED_ORIGINS", "https://*.example.com"),
    ("CORS_ALLOWED_ORIGINS", "https://App.example.com"),
    ("CORS_ALLOWED_ORIGINS", "https://app.example.com:443"),
    ("CORS_ALLOWED_ORIGINS", f"https://{SECRET}@app.example.com"),
    ("HSTS_SECONDS", "-1"),
    ("TRUSTED_PROXIES", "10.0.0.1"),
    ("SECRET_KEY", ""),
    ("DATABASE_URL", f"mysql://user:{SECRET}@host/name"),
    ("DATABASE_THREADS", "0"),
    ("DATABASE_TIMEOUT", "-1"),
    ("CACHE_URL", f"memcache://{SECRET}"),
    ("CACHE_URL", f"redis://:{SECRET}@host:port/0"),
    ("CHAT_CIRCUIT_FAILURES", "-1"),
    ("CHAT_CIRCUIT_SECONDS", "0"),
    ("CHAT_PROVIDERS", "Not A Name"),
    ("CHAT_DEFAULT_PROVIDER", SECRET),
    ("CHAT_DEFAULT_PROVIDER", "openai"),
    ("CHAT_MAX_MESSAGE_CHARS", "-3"),
    ("CHAT_MAX_BODY_BYTES", "2MB"),
    ("CHAT_BODY_TIMEOUT", "0"),
    ("CHAT_MAX_BODY_BYTES", "1333333"),  # too small for the largest image
    ("CHAT_MAX_IMAGE_BYTES", "1MB"),
    ("CHAT_MAX_IMAGE_BYTES", "1500000"),  # too large for the largest body
    ("CHAT_CONNECT_TIMEOUT", "never"),
    ("CHAT_SILENCE_TIMEOUT", "0"),
    ("CHAT_RETENTION_DAYS", "-1"),
    ("CHAT_EVENTS_HOURS", "0"),
    ("LOG_FORMAT", SECRET),
    ("LOCAL_BASE_URL", SECRET),
    ("OPENAI_BASE_URL", f"https://user:{SECRET}@api.openai.com/v1"),
    ("LOCAL_HISTORY_TOKENS", "many"),
]


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, object]:
    """Runs settings.py under this environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "chatproject" / "settings.py"))


@pytest.mark.parametrize(("variable", "value"), MALFORMED, ids=[f"{name}={value}" for name, value in MALFORMED])
def test_it_refuses_a_malformed_variable_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        load(monkeypatch, **{variable: value})
    assert variable in str(error.value)
    assert SECRET not in str(error.value)


def test_the_start_stops_with_one_line_that_names_the_variable() -> None:
    with pytest.raises(AssertionError) as error:
        manage(os.environ["DATABASE_URL"], "check", CHAT_PROVIDERS="acme", ACME_API_KEY=SECRET)
    *_, line = str(error.value).strip().splitlines()
    assert "CHAT_PROVIDERS" in line
    assert "ACME_BASE_URL must be set" in line
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("key", ["", "Too5hort", "django-insecure-" + "x" * 50, "change-me-" + "x" * 50])
def test_production_refuses_a_well_known_secret_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY") as error:
        load(monkeypatch, SECRET_KEY=key, SENTRY_ENVIRONMENT="production")
    assert not key or key not in str(error.value)


def test_both_rates_are_0_without_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, SENTRY_ENABLE_TRACING="false", SENTRY_TRACES_SAMPLE_RATE="0.5")
    assert settings["SENTRY_TRACES_SAMPLE_RATE"] == settings["SENTRY_PROFILES_SAMPLE_RATE"] == 0


def test_the_defaults_are_those_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    settings = load(monkeypatch)
    assert {name: settings[name] for name in EXPECTED} == EXPECTED
    assert settings["DATABASES"]["default"]["NAME"] == str(ROOT / "db.sqlite3")  # type: ignore[index]


EXPECTED = {
    "SENTRY_DSN": "",
    "SENTRY_TRACES_SAMPLE_RATE": 1.0,
    "SENTRY_PROFILES_SAMPLE_RATE": 1.0,
    "SENTRY_ENVIRONMENT": "development",
    "SENTRY_ENABLE_TRACING": True,
    "SENTRY_SEND_DEFAULT_PII": True,
    "SENTRY_INCLUDE_PROMPTS": False,
    "SENTRY_ENABLE_LOGS": False,
    "SENTRY_SEND_FEEDBACK": True,
    "LOG_FORMAT": "line",
    "CHAT_RETENTION_DAYS": 0,
    "CHAT_EVENTS_HOURS": 1,
    "CHAT_BUDGET_MAX_TOKENS": 4096,
    "CHAT_KEY_CACHE_SECONDS": 2.0,
    "CHAT_KEY_LIMITS": dict.fromkeys(LIMITS, 0),
    "CHAT_CIRCUIT_FAILURES": 5,
    "CHAT_CIRCUIT_SECONDS": 30,
    "PUBLIC_URL": "",
    "DEBUG": False,
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1"],
    "CHAT_DEFAULT_PROVIDER": "local",
}


def test_every_variable_of_the_example_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env.example` names what settings.py reads, in its order."""
    example = (ROOT / ".env.example").read_text()
    documented = [line.lstrip("#").split("=")[0] for line in example.splitlines() if "=" in line.split(" ")[0]]
    documented = [name for name in documented if not name.endswith(("_API_KEY", "_BASE_URL"))]
    source = (ROOT / "chatproject" / "settings.py").read_text()
    positions = [source.find(f'"{name}"') for name in documented]
    assert -1 not in positions, documented[positions.index(-1)]
    assert positions == sorted(positions)
