import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

import sentry_sdk
from django.conf import settings
from django.core.management.base import BaseCommand
from django.core.management.color import color_style, no_style

from chatproject.observability.doctor import table
from chatproject.observability.doctor.examination import Configuration, Examination

# What of Django's palette (DJANGO_COLORS) shows which role.
STYLES = {table.HEAD: "MIGRATE_HEADING", table.GOOD: "SUCCESS", table.BAD: "ERROR", table.ODD: "WARNING"}


class Command(BaseCommand):
    help = (
        "Prints the effective Sentry configuration, sends an error, a transaction, a profile, a log and a metric, and "
        "tells what really became of each, what looks odd, and what to do about it. With SENTRY_AUTH_TOKEN it waits "
        "until the error is stored. Exit status 0 only when the error was accepted (with a token: stored)."
    )
    requires_system_checks = []  # it must answer on a server that is half set up

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--wait", type=float, default=30.0, metavar="SECONDS", help="longest wait for the event to be stored (30)"
        )
        parser.add_argument(
            "--timeout", type=float, default=10.0, metavar="SECONDS", help="longest wait for each answer (10)"
        )

    def handle(self, *, timeout: float, wait: float, dry_run: bool, **options: Any) -> None:
        examination = Examination(configuration(), sentry_sdk.get_client().options, timeout)
        facts = examination.dry_run() if dry_run else examination.run(wait)
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False))
        else:
            style = color_style(force_color=True) if self.in_colour(**options) else no_style()
            self.stdout.write(table.text_of(facts, lambda role, text: getattr(style, STYLES[role])(text)))
        if not dry_run and not facts["accepted"]:
            sys.exit(1)

    def in_colour(self, *, no_color: bool, force_color: bool, **options: Any) -> bool:
        # NO_COLOR (https://no-color.org) is a wish about this terminal, no setting of the server; Django ignores it.
        wanted = force_color or (self.stdout.isatty() and not os.environ.get("NO_COLOR"))
        return wanted and not no_color


def configuration() -> Configuration:
    return Configuration(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=settings.SENTRY_RELEASE,
        enable_tracing=settings.SENTRY_ENABLE_TRACING,
        traces_sample_rate=settings.SENTRY_TRACES_SAMPLE_RATE,
        profiles_sample_rate=settings.SENTRY_PROFILES_SAMPLE_RATE,
        send_default_pii=settings.SENTRY_SEND_DEFAULT_PII,
        include_prompts=settings.SENTRY_INCLUDE_PROMPTS,
        enable_logs=settings.SENTRY_ENABLE_LOGS,
        event_url=settings.SENTRY_EVENT_URL,
        auth_token=settings.SENTRY_AUTH_TOKEN,
        org=settings.SENTRY_ORG,
        project=settings.SENTRY_PROJECT,
        url=settings.SENTRY_URL,
    )
