from typing import Any

from django.core.management.base import BaseCommand

from conversations import idempotent, kept_events


class Command(BaseCommand):
    help = "Deletes kept events and results whose time is over. Every running server does so by itself."

    def handle(self, **options: Any) -> None:
        messages = requests = 0
        while batch := kept_events.delete_old():
            messages += batch
        while batch := idempotent.delete_old():
            requests += batch
        self.stdout.write(f"Deleted the events of {messages} answers and the results of {requests} requests.")
