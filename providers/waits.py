"""How long a provider asks us to wait."""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST = 86_400.0
"""Seconds. Our callers are told of the wait, and no longer one makes sense."""


def wait_of(headers: Mapping[str, str], body: Any = None) -> float | None:
    """Seconds from now, 0 to LONGEST, or None when nothing sensible is said.

    `retry-after-ms` is OpenAI's; `Retry-After` is in seconds or, as RFC 9110 allows, a date. Gemini sends neither,
    but says "Please retry in 17.3s" in a RetryInfo of the error's `details`.
    """
    seconds = _asked(headers, body)
    return None if seconds is None else min(seconds, LONGEST)


def _asked(headers: Mapping[str, str], body: Any) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value:
        seconds = _until(value)
    return _retry_info(body) if seconds is None else seconds


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "nan")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _retry_info(body: Any) -> float | None:
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    details = body.get("details") if isinstance(body, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return _number(delay[:-1])
    return None
