from typing import Any

from django.core.management.base import BaseCommand

from conversations import leases


class Command(BaseCommand):
    help = "Ends as `interrupted` the turns whose workers have died. Every running server does so by itself."

    def handle(self, **options: Any) -> None:
        self.stdout.write(f"Ended {leases.sweep_turns()} turns.")
