"""What the tests of `manage.py sentry_check` share."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import getproxies_environment

import pytest
import sentry_sdk
from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import Check, Facts, PickyIngest, command
from tests.fakes.sentry_api import TOKEN, SentryApi


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in getproxies_environment():
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def check(settings: Settings) -> Iterator[Check]:
    """Runs the command with an SDK started for `dsn`; returns its JSON, with the exit status as `exit`.

    What it says of the error is at the top; what it says of the others, in `items`.
    """
    scope = sentry_sdk.get_global_scope()
    before = scope.client

    def run(dsn: str, *arguments: str, **options: Any) -> Facts:
        settings.SENTRY_DSN = dsn
        options = {"environment": "staging", "release": "1.2.3", "default_integrations": False, **options}
        client = sentry_sdk.Client(dsn=dsn, **options)
        scope.set_client(client)
        status, text = command("--json", *arguments)
        assert sentry_sdk.get_client() is client
        facts = json.loads(text)
        return {**next(iter(facts.get("items", [])), {}), **facts, "exit": status}

    yield run
    scope.set_client(before)


@pytest.fixture
def picky() -> Iterator[PickyIngest]:
    with PickyIngest() as picky:
        yield picky


@pytest.fixture
def api() -> Iterator[SentryApi]:
    """A Sentry with an API."""
    with SentryApi() as api:
        yield api


@pytest.fixture
def with_token(settings: Settings, api: SentryApi) -> Settings:
    settings.SENTRY_AUTH_TOKEN = TOKEN
    settings.SENTRY_URL = api.url
    return settings
