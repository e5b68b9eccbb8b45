"""Typed reads of the environment that refuse a malformed value by the variable's name.

Only settings.py uses it. No message repeats a value: it may be a secret in the wrong place.
"""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from sentry_sdk.utils import BadDsn, Dsn

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
ORIGIN_HOST = re.compile(r"[a-z0-9_.:-]+")


class Env(environ.Env):  # type: ignore[misc]
    """django-environ with the checks this project's settings need. Every method raises ImproperlyConfigured."""

    def text(self, name: str, default: str = "") -> str:
        """A string without spaces around it; an empty value counts as unset.

        Not through `self.str`: django-environ takes a value that begins with `$` for the name of another variable.
        """
        return str(self.ENVIRON.get(name, "")).strip() or default

    def flag(self, name: str, default: bool) -> bool:
        """A boolean; unlike django-environ's, a misspelt one is an error instead of False."""
        value = self.text(name, str(default)).lower()
        if value not in TRUE | FALSE:
            raise ImproperlyConfigured(f"{name} must be true or false.")
        return value in TRUE

    def number(self, name: str, default: float, low: float, high: float) -> float:
        try:
            value = float(self.text(name, str(default)))
        except ValueError:
            value = float("nan")
        if not low <= value <= high:  # also false for nan
            raise ImproperlyConfigured(f"{name} must be a number from {low:g} to {high:g}.")
        return value

    def rate(self, name: str, default: float) -> float:
        return self.number(name, default, 0.0, 1.0)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.number(name, default, low, high)
        if value != int(value):
            raise ImproperlyConfigured(f"{name} must be a whole number from {low} to {high}.")
        return int(value)

    def choice(self, name: str, default: str, allowed: Iterable[str]) -> str:
        value = self.text(name, default)
        allowed = list(allowed)
        if value not in allowed:
            raise ImproperlyConfigured(f"{name} must be one of: {', '.join(allowed)}.")
        return value

    def names(self, name: str, default: Iterable[str]) -> list[str]:
        """A comma list, spaces around the commas allowed."""
        return [part for raw in self.text(name, ",".join(default)).split(",") if (part := raw.strip())]

    def origins(self, name: str) -> list[str]:
        """A comma list of origins as browsers send them: `https://app.example.com`, with a port if it is not usual."""
        found = self.names(name, [])
        for value in found:
            if origin_of(value) != value:
                raise ImproperlyConfigured(
                    f"{name} must list origins such as https://app.example.com or http://localhost:3000: lower case,"
                    " no path, no usual port, no wildcard."
                )
        return found

    def dsn(self, name: str) -> str:
        """A Sentry DSN, `https://KEY@HOST/PROJECT_NUMBER`, or the empty string."""
        value = self.text(name)
        if value:
            try:
                dsn = Dsn(value)
                # Of an IPv6 address the SDK forgets the brackets, and then cannot send to it.
                ok = dsn.project_id.isdigit() and ":" not in dsn.host and bool(dsn.host.encode("idna"))
            except (BadDsn, ValueError):
                ok = False
            if not ok:
                raise ImproperlyConfigured(
                    f"{name} must look like https://KEY@HOST/PROJECT_NUMBER, or be empty."
                    " An IPv6 address is no HOST, since Sentry's SDK cannot send to one."
                )
        return value

    def database(self, name: str, default: str) -> dict[str, object]:
        """Django's DATABASES entry for a URL."""
        value = self.text(name, default)
        # The scheme first: django-environ warns of an unknown one by printing the whole URL.
        known = value.startswith(("sqlite://", "postgres://", "postgresql://"))
        try:
            config: dict[str, object] = dict(self.db_url_config(value)) if known else {}
        except ValueError:
            config = {}
        if not config.get("NAME"):
            raise ImproperlyConfigured(
                f"{name} must look like sqlite:///db.sqlite3 or postgres://USER:PASSWORD@HOST:5432/NAME."
            )
        return config

    def cache(self, name: str) -> dict[str, object]:
        """Django's CACHES entry for a URL; empty means a table of the database."""
        value = self.text(name)
        if not value:
            options = {"MAX_ENTRIES": 10_000}
            backend = "django.core.cache.backends.db.DatabaseCache"
            return {"BACKEND": backend, "LOCATION": "chat_cache", "OPTIONS": options}
        if value == "locmem://":
            return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        if not _redis_url(value):
            raise ImproperlyConfigured(
                f"{name} must look like redis://:PASSWORD@HOST:6379/0 or rediss://..., be locmem:// or empty."
            )
        if find_spec("redis") is None:
            raise ImproperlyConfigured(f"{name} names Redis, which needs a package: pip install redis.")
        # No turn waits long for a Redis that is away. A list: Django would split a string at commas.
        timeouts = {"socket_connect_timeout": 1, "socket_timeout": 1}
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": [value], "OPTIONS": timeouts}


def _redis_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        ok = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return ok and (parts.path in {"", "/"} or parts.path[1:].isdecimal()) and not parts.fragment


def origin_of(url: str) -> str | None:
    """The origin of an http(s) URL as a browser writes it; None when there is none."""
    usual = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url)
        if parts.scheme not in usual or not parts.hostname or not ORIGIN_HOST.fullmatch(parts.hostname):
            return None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port in {None, usual[parts.scheme]} else f":{parts.port}"
    except ValueError:
        return None
    return f"{parts.scheme}://{host}{port}"


def http_url(name: str, value: str) -> str:
    """Returns `value` without a trailing slash when it is an http(s) URL with a host; raises otherwise."""
    try:
        parts = urlsplit(value)
        ok = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        ok = ok and "@" not in parts.netloc  # a password in a URL would be shown and logged
    except ValueError:
        ok = False
    if not ok:
        raise ImproperlyConfigured(f"{name} must be a URL such as https://api.example.com/v1.")
    return value.rstrip("/")
