from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chatproject.apikeys.arguments import span
from chatproject.apikeys.models import ApiKey


class Command(BaseCommand):
    help = """Gives an API key a new secret, and prints it, alone, on stdout. The old one works on for a while; both are
    the same key, with one budget."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="of the key: the eight characters after ck_")
        overlap = "for which the old secret goes on working, such as 90m; 24h by default"
        parser.add_argument("--overlap", type=span, default=timedelta(days=1), metavar="SPAN", help=overlap)
        expires = "after which the new one is refused; by default when the old one would have been"
        parser.add_argument("--expires", type=span, metavar="SPAN", help=expires)

    def handle(self, *, prefix: str, overlap: timedelta, expires: timedelta | None, **options: Any) -> None:
        expires_at = None if expires is None else timezone.now() + expires
        try:
            key, plain = ApiKey.objects.rotate(prefix, overlap=overlap, expires_at=expires_at)
        except ApiKey.DoesNotExist:
            raise CommandError(f"No key of the prefix {prefix!r} can be rotated; see list_api_keys.") from None
        if key.expired:
            self.stderr.write("The new key has expired as well: rotate it with --expires.")
        self.stdout.write(plain)
