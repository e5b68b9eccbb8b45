from typing import Any

from django.core.management.base import BaseCommand

from conversations import store


class Command(BaseCommand):
    help = "Ends as `interrupted` the turns whose workers have died. Every running server does so by itself."

    def handle(self, **options: Any) -> None:
        self.stdout.write(f"Ended {store.sweep_turns()} turns.")
