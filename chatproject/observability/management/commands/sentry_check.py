import dataclasses
import json
import sys
import textwrap
from argparse import ArgumentParser
from typing import Any

import sentry_sdk
from django.conf import settings
from django.core.management.base import BaseCommand

from chatproject.observability import doctor, probe, ratelimits

LABEL_WIDTH = 14
LINE_WIDTH = 110


class Command(BaseCommand):
    help = (
        "Prints the effective Sentry configuration, sends one test event, and tells how Sentry's server really "
        "answered and what to do about it. Exit status 0 only when it accepted the event."
    )
    requires_system_checks = []  # it must answer on a server that is half set up

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--timeout", type=float, default=10.0, metavar="SECONDS", help="longest wait for the answer (10)"
        )

    def handle(self, *, timeout: float, **options: Any) -> None:
        facts = {"configuration": configuration(), **attempt(timeout)}
        self.stdout.write(as_json(facts) if options["json"] else as_text(facts))
        if not facts["accepted"]:
            sys.exit(1)


def configuration() -> dict[str, Any]:
    return {
        "dsn": doctor.without_key(settings.SENTRY_DSN),
        "environment": settings.SENTRY_ENVIRONMENT,
        "release": settings.SENTRY_RELEASE,
        "tracing": settings.SENTRY_ENABLE_TRACING,
        "traces_sample_rate": settings.SENTRY_TRACES_SAMPLE_RATE,
        "profiles_sample_rate": settings.SENTRY_PROFILES_SAMPLE_RATE,
        "send_default_pii": settings.SENTRY_SEND_DEFAULT_PII,
        "include_prompts": settings.SENTRY_INCLUDE_PROMPTS,
    }


def attempt(seconds: float) -> dict[str, Any]:
    """Sends the test event, if there is a DSN, and says what came of it."""
    running = sentry_sdk.get_client().options
    if not running["dsn"]:
        return report(doctor.Outcome(failure="no_dsn"), event_id=None)
    event = probe.make_event(running)
    return report(probe.send(event, running, seconds), event_id=event["event_id"])


def report(outcome: doctor.Outcome, event_id: str | None) -> dict[str, Any]:
    verdict = doctor.diagnose(outcome)
    wait = ratelimits.wait_seconds(outcome)
    link = settings.SENTRY_EVENT_URL.replace("{event_id}", event_id) if event_id and verdict.accepted else ""
    return {
        "accepted": verdict.accepted,
        "verdict": verdict.code,
        "status": outcome.status,
        "reason": verdict.reason,
        "detail": doctor.detail_of(outcome, settings.SENTRY_DSN),
        "fix": verdict.fix.format(wait=wait),
        "retry_after_s": wait,
        "rate_limits": [dataclasses.asdict(limit) for limit in ratelimits.rate_limits(outcome)],
        "event_id": event_id,
        "event_url": link or None,
    }


def as_json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False)


def as_text(facts: dict[str, Any]) -> str:
    shown = facts["configuration"]
    lines = [
        "Configuration",
        line("DSN", shown["dsn"] or "none: Sentry is off"),
        line("environment", shown["environment"]),
        line("release", shown["release"] or "none"),
        line("tracing", share(shown["traces_sample_rate"], "requests")),
        line("profiling", share(shown["profiles_sample_rate"], "traced work")),
        line("PII", "users and IP addresses are sent" if shown["send_default_pii"] else "not sent"),
        line("prompts", "message text is sent" if shown["include_prompts"] else "not sent"),
        "",
        "Test event",
        line("result", "accepted" if facts["accepted"] else "NOT ACCEPTED"),
        line("HTTP status", facts["status"] or "none"),
        line("reason", facts["reason"]),
        line("detail", facts["detail"]),
        *(line("limit", limit_words(limit)) for limit in facts["rate_limits"]),
        line("fix", facts["fix"] if not facts["accepted"] else ""),
        line("event id", facts["event_id"]),
        line("page", facts["event_url"]),
    ]
    return "\n".join(text for text in lines if text is not None)


def line(label: str, value: Any) -> str | None:
    """An aligned line, wrapped when it is long; None when there is nothing to say."""
    if not value:
        return None
    start = f"  {label:<{LABEL_WIDTH}}"
    return textwrap.fill(
        str(value),
        LINE_WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def share(rate: float, what: str) -> str:
    return f"{rate:.0%} of {what}" if rate else "off"


def limit_words(limit: dict[str, Any]) -> str:
    what = ", ".join(limit["categories"]) or "everything"
    why = f" ({limit['reason']})" if limit["reason"] else ""
    return f"{what} for {limit['seconds']} s{why}"
