from argparse import ArgumentParser, FileType
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from chatproject.problems import Problem
from conversations.transfer.importing import store
from conversations.transfer.parsing import parse_line
from conversations.transfer.schemas import EndIn


class Command(BaseCommand):
    help = (
        "Makes the conversations of a user from an export in JSON Lines, each in a transaction of its own. However many"
        " there are: one is in memory at a time. Stops at the first line that is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("file", type=FileType("rb"), help="- for the standard input")

    def handle(self, *args: Any, username: str, file: BinaryIO, **options: Any) -> None:
        with file:
            owner = User.objects.filter(username=username).first()
            if owner is None:
                raise CommandError(f"There is no user {username!r}.")
            self._import(owner, file)

    def _import(self, owner: User, lines: BinaryIO) -> None:
        conversations = messages = 0
        whole = False
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                parsed = parse_line(line, number)
                if isinstance(parsed, EndIn):
                    whole = (parsed.conversation_count, parsed.message_count) == (conversations, messages)
                else:
                    messages += store(owner, [parsed]).messages
                    conversations += 1
        except Problem as problem:
            raise CommandError(f"{problem.detail} Imported before it: {conversations} conversations.") from None
        self.stdout.write(f"Imported {conversations} conversations with {messages} messages.")
        if not whole:
            self.stderr.write("The file has no line with these counts at its end: it is a part, or it broke off.")
