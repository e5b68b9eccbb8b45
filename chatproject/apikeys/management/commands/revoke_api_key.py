from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatproject.apikeys.models import ApiKey


class Command(BaseCommand):
    help = "Revokes an API key for good, with the secrets that it has replaced."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="of the key: the eight characters after ck_")

    def handle(self, *, prefix: str, **options: Any) -> None:
        key = ApiKey.objects.filter(prefix=prefix).first()
        if key is None:
            raise CommandError(f"There is no key of the prefix {prefix!r}; see list_api_keys.")
        key.revoke()
        self.stdout.write(f"{key} is revoked.")
