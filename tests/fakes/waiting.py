"""Waiting without sleeping blindly."""

import time
from collections.abc import Callable
from typing import Any


def poll(ready: Callable[[], Any], seconds: float = 10, what: str = "condition") -> Any:
    """The first true value of `ready()`. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.01)
    return value
