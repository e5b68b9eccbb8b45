"""Check-ins of scheduled commands: Sentry tells when one fails, runs too long or does not start at all."""

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager

import sentry_sdk
from sentry_sdk.crons import MonitorStatus, capture_checkin
from sentry_sdk.types import MonitorConfig
from sentry_sdk.utils import capture_internal_exceptions

MARGIN = 5
"""Minutes that a start may be late."""


def add_schedule(parser: ArgumentParser, default: str) -> None:
    """The option by which a command that is `monitored` is told when it runs."""
    parser.add_argument(
        "--schedule",
        metavar="CRONTAB",
        default=default,
        help="when it runs, for its monitor in Sentry: the crontab's five fields, in UTC (%(default)s)",
    )


@contextmanager
def monitored(slug: str, *, schedule: str, max_minutes: int) -> Iterator[None]:
    """Checks in under `slug` when the block begins and ends, as failed if it raises. Without a DSN it just runs.

    `schedule` is the crontab's, in UTC. Sentry makes the monitor of it, or changes it.
    """
    config: MonitorConfig = {
        "schedule": {"type": "crontab", "value": schedule},
        "timezone": "UTC",
        "checkin_margin": MARGIN,
        "max_runtime": max_minutes,
    }
    started = time.perf_counter()
    check_in = _check_in(slug, MonitorStatus.IN_PROGRESS, config)
    status = MonitorStatus.ERROR
    try:
        yield
        status = MonitorStatus.OK
    finally:
        _check_in(slug, status, config, check_in, time.perf_counter() - started)


def _check_in(
    slug: str, status: str, config: MonitorConfig, check_in: str | None = None, seconds: float | None = None
) -> str | None:
    """The check-in's id, by which its end finds its beginning; None when nothing was sent."""
    with capture_internal_exceptions():
        if sentry_sdk.is_initialized():
            return capture_checkin(slug, check_in, status, seconds, config)
    return None
