from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chatproject.apikeys.arguments import add_limits, limits_of, scope_list, span
from chatproject.apikeys.checks import warn_of_prices
from chatproject.apikeys.models import ApiKey
from chatproject.apikeys.scopes import every_scope


class Command(BaseCommand):
    help = "Creates an API key and prints it, alone, on stdout. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what the key is for")
        parser.add_argument("--user", metavar="USERNAME", help="whose key it is; NAME, made if absent, by default")
        scopes = "what it may do, such as chat,read; everything by default"
        parser.add_argument("--scopes", type=scope_list, metavar="SCOPES", help=scopes)
        parser.add_argument("--expires", type=span, metavar="SPAN", help="after which it is refused, such as 90d")
        add_limits(parser)

    def handle(
        self, *, name: str, user: str | None, scopes: list[str] | None, expires: timedelta | None, **options: Any
    ) -> None:
        if not name.strip() or len(name) > 100:
            raise CommandError("NAME must have 1 to 100 characters.")
        owner = named(user) if user is not None else made(name)
        limits = limits_of(options)
        expires_at = None if expires is None else timezone.now() + expires
        scopes = scopes or every_scope()
        _, plain = ApiKey.objects.issue(user=owner, name=name, scopes=scopes, expires_at=expires_at, **limits)
        warn_of_prices(self, limits)
        self.stdout.write(plain)


def named(username: str) -> User:
    found = get_user_model().objects.filter(username=username).first()
    if found is None:
        raise CommandError(f"There is no user {username!r}. Leave --user out to make one named NAME.")
    return found


def made(username: str) -> User:
    owner, is_new = get_user_model().objects.get_or_create(username=username)
    if is_new:
        owner.set_unusable_password()
        owner.save()
    return owner
