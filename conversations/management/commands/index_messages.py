from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from conversations.search import indexing
from conversations.search.tables import DOCUMENTS


class Command(BaseCommand):
    help = (
        "Indexes for the search, at once, what waits for it: after an upgrade, all that was there. Every running "
        "server does so by itself, a little every second."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="make the whole index anew")

    def handle(self, **options: Any) -> None:
        if options["all"]:
            indexing.start_over()
        self.stdout.write(f"Indexed {indexing.index_for(float('inf'), wait=True)} texts.")
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:  # now, so that the planner knows which words are frequent
                cursor.execute(f"ANALYZE {DOCUMENTS}")
