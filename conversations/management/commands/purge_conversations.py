import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from chatproject.observability import crons
from conversations import retention

EVERY_NIGHT = "0 4 * * *"
UNITS = {"d": "days", "h": "hours", "m": "minutes"}
LARGEST_BATCH = 10_000


def duration(text: str) -> timedelta:
    """`90d`, `12h` or `30m`; at most 100 years."""
    found = re.fullmatch(r"(\d{1,8})([dhm])", text, re.ASCII)
    length = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
    if length is None or length > timedelta(days=36_500):
        raise ArgumentTypeError(f"{text!r} is no duration such as 90d, 12h or 30m, of at most 36500d")
    return length


def batch_size(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not 1 <= int(text) <= LARGEST_BATCH:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {LARGEST_BATCH}")
    return int(text)


class Command(BaseCommand):
    help = "Deletes for good the conversations that their owners deleted longer ago than that, and prints how many."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=duration, required=True, metavar="90d", help="days (d), hours (h) or minutes (m)"
        )
        parser.add_argument(
            "--batch",
            type=batch_size,
            default=retention.BATCH,
            metavar="N",
            help="conversations deleted in one transaction, which live turns wait for (%(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count them, delete nothing and check in nowhere")
        crons.add_schedule(parser, EVERY_NIGHT)

    def handle(self, *, older_than: timedelta, batch: int, dry_run: bool, schedule: str, **options: Any) -> None:
        rows = retention.deleted_before(timezone.now() - older_than)
        if dry_run:
            self.stdout.write(f"Would purge {rows.count()} conversations.")
            return
        with crons.monitored("purge-conversations", schedule=schedule, max_minutes=60):
            self.stdout.write(f"Purged {retention.delete_all(rows, batch)} conversations.")
