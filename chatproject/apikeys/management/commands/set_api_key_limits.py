from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chatproject.apikeys.arguments import add_limits, limits_of, scope_list, span
from chatproject.apikeys.checks import warn_of_prices
from chatproject.apikeys.models import LIMITS, ApiKey


class Command(BaseCommand):
    help = "Changes the limits of an API key that are named, its scopes or its end, from the next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="of the key: the eight characters after ck_")
        parser.add_argument("--scopes", type=scope_list, metavar="SCOPES", help="what it may do, such as chat,read")
        parser.add_argument("--expires", type=span, metavar="SPAN", help="after which it is refused, such as 90d")
        add_limits(parser)

    def handle(self, *, prefix: str, scopes: list[str] | None, expires: timedelta | None, **options: Any) -> None:
        changes = limits_of(options)
        key = ApiKey.objects.filter(prefix=prefix, replaced_by=None).first()
        if key is None:
            raise CommandError(f"There is no key of the prefix {prefix!r}; see list_api_keys.")
        wanted = dict(changes)
        if scopes:
            wanted["scopes"] = scopes
        if expires is not None:
            wanted["expires_at"] = timezone.now() + expires
        for name, value in wanted.items():
            setattr(key, name, value)
        key.save(update_fields=list(wanted))
        warn_of_prices(self, changes)
        for name in LIMITS:
            own = "" if getattr(key, name) is not None else " (the server's default)"
            self.stdout.write(f"{name}: {key.limit(name) or 'none'}{own}")
