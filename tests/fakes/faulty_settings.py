"""The server's settings, plus the routes that break and the provider that has bugs."""

from chatproject.settings import *  # noqa: F403

ROOT_URLCONF = "tests.fakes.faulty"
