from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chatproject.apikeys.arguments import add_limits, limits_of, scope_list
from chatproject.apikeys.checks import warn_of_prices
from chatproject.apikeys.models import LIMITS, ApiKey


class Command(BaseCommand):
    help = "Changes the limits of an API key that are named, or its scopes, from the next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="of the key: the eight characters after ck_")
        parser.add_argument("--scopes", type=scope_list, metavar="SCOPES", help="what it may do, such as chat,read")
        add_limits(parser)

    def handle(self, *, prefix: str, scopes: list[str] | None, **options: Any) -> None:
        changes = limits_of(options)
        key = ApiKey.objects.filter(prefix=prefix, replaced_by=None).first()
        if key is None:
            raise CommandError(f"There is no key of the prefix {prefix!r}; see list_api_keys.")
        for name, value in (changes | ({"scopes": scopes} if scopes else {})).items():
            setattr(key, name, value)
        key.save(update_fields=["scopes", *LIMITS])
        warn_of_prices(self, changes)
        for name in LIMITS:
            own = "" if getattr(key, name) is not None else " (the server's default)"
            self.stdout.write(f"{name}: {key.limit(name) or 'none'}{own}")
