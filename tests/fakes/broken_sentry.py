"""The server's settings, with a `before_send` that raises."""

from typing import Any

import sentry_sdk

from chatproject.settings import *  # noqa: F403


def broken(event: Any, hint: Any) -> Any:
    raise RuntimeError("a bug in before_send")


sentry_sdk.get_client().options["before_send"] = broken
