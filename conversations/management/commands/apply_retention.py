from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from chatproject.observability import crons
from conversations import retention

EVERY_NIGHT = "30 3 * * *"


class Command(BaseCommand):
    help = "Deletes the conversations whose last activity is more than CHAT_RETENTION_DAYS ago, and prints how many."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count them, delete nothing and check in nowhere")
        crons.add_schedule(parser, EVERY_NIGHT)

    def handle(self, *, dry_run: bool, schedule: str, **options: Any) -> None:
        days = settings.CHAT_RETENTION_DAYS
        rows = retention.unused_since(timezone.now() - timedelta(days=days))
        if dry_run:
            self.tell("Would delete", rows.count() if days else 0)
            return
        with crons.monitored("apply-retention", schedule=schedule, max_minutes=60):
            self.tell("Deleted", retention.delete_all(rows) if days else 0)

    def tell(self, what: str, count: int) -> None:
        days = settings.CHAT_RETENTION_DAYS
        why = f"last active over {days} days ago" if days else "CHAT_RETENTION_DAYS is 0: all are kept"
        self.stdout.write(f"{what} {count} conversations ({why}).")
