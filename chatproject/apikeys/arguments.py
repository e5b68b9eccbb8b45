"""What the commands take: spans of time, scopes and limits."""

import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from chatproject.apikeys.models import LIMITS
from chatproject.apikeys.scopes import SCOPES

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=36_500)
MOST_DOLLARS = Decimal(10_000_000)
MOST = 1_000_000_000


def span(value: str) -> timedelta:
    """`90m`, `24h` or `30d`. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", value)
    if not found or (length := timedelta(**{UNITS[found[2]]: int(found[1])})) > LONGEST:
        raise ArgumentTypeError("must look like 90m, 24h or 30d, and be 100 years at most")
    return length


def scope_list(value: str) -> list[str]:
    """`chat,read`. Raises ArgumentTypeError."""
    scopes = list(dict.fromkeys(part.strip() for part in value.split(",")))
    if not set(scopes) <= SCOPES.keys():
        raise ArgumentTypeError(f"must be one or more of {','.join(SCOPES)}")
    return scopes


def whole(value: str) -> int | None:
    """A limit; `default` is the server's. Raises ArgumentTypeError."""
    if value == "default":
        return None
    if not value.isdecimal() or int(value) > MOST:
        raise ArgumentTypeError(f"must be a whole number up to {MOST}, or `default`")
    return int(value)


def dollars(value: str) -> Decimal | None:
    """A budget, to four decimals; `default` is the server's. Raises ArgumentTypeError."""
    if value == "default":
        return None
    try:
        amount = Decimal(value)
        fits = 0 <= amount <= MOST_DOLLARS and amount == round(amount, 4)
    except InvalidOperation:
        fits = False
    if not fits:
        raise ArgumentTypeError(f"must be US dollars up to {MOST_DOLLARS}, with four decimals at most, or `default`")
    return amount


def add_limits(parser: ArgumentParser) -> None:
    """An option for each of LIMITS; those that are given end up in limits_of."""
    group = parser.add_argument_group("limits", "0: none; `default`: the server's, CHAT_KEY_*")
    for name in LIMITS:
        takes = dollars if name.startswith("budget") else whole
        group.add_argument(f"--{name.replace('_', '-')}", type=takes, default=SUPPRESS, metavar="LIMIT")


def limits_of(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in LIMITS if name in options}
