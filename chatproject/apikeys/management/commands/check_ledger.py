from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatproject.apikeys import ledger


class Command(BaseCommand):
    help = "Adds up the ledger's entries, and fails when the total of a key's day is not their sum."

    def handle(self, **options: Any) -> None:
        wrong = ledger.disagreements()
        for key_id, day in wrong:
            self.stderr.write(f"Key {key_id}, {day}: the total is not the sum of the entries.")
        if wrong:
            raise CommandError(f"{len(wrong)} totals are wrong.")
        self.stdout.write("Every total is the sum of its entries.")
