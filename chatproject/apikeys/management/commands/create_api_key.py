from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from chatproject.apikeys.models import ApiKey


class Command(BaseCommand):
    help = "Creates an API key and prints it, alone, on stdout. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what the key is for")
        parser.add_argument("--user", metavar="USERNAME", help="whose key it is; NAME, made if absent, by default")

    def handle(self, *, name: str, user: str | None, **options: Any) -> None:
        users = get_user_model()
        if not name.strip() or len(name) > 100:
            raise CommandError("NAME must have 1 to 100 characters.")
        if user is None:
            owner, made = users.objects.get_or_create(username=name)
            if made:
                owner.set_unusable_password()
                owner.save()
        else:
            found = users.objects.filter(username=user).first()
            if found is None:
                raise CommandError(f"There is no user {user!r}. Leave --user out to make one named NAME.")
            owner = found
        _, plain = ApiKey.objects.issue(user=owner, name=name)
        self.stdout.write(plain)
