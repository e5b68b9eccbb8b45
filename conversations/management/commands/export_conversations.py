from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from conversations.transfer.reading import Chosen
from conversations.transfer.writing import WRITERS


class Command(BaseCommand):
    help = "Prints all conversations of a user, with their messages: the same as GET /api/conversations/export."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--format", choices=list(WRITERS), default="jsonl")

    def handle(self, *args: Any, username: str, format: str, **options: Any) -> None:
        owner = User.objects.filter(username=username).first()
        if owner is None:
            raise CommandError(f"There is no user {username!r}.")
        writer, _, _ = WRITERS[format]
        for piece in writer(Chosen(owner=owner)):
            self.stdout.write(piece, ending="")
