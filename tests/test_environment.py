"""The tests' own footing: nothing of the developer's environment takes part."""

import os

from django.conf import settings


def test_the_settings_come_from_the_tests_own_environment() -> None:
    assert os.environ["SECRET_KEY"] == settings.SECRET_KEY
    assert settings.SENTRY_DSN == ""
    assert list(settings.CHAT_PROVIDERS) == ["local"]
