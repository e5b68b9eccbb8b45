"""What text, and what JSON, both databases can store."""

import math
from typing import Annotated

from pydantic import AfterValidator, JsonValue


def storable(text: str) -> str:
    if "\x00" in text:  # PostgreSQL cannot store it
        raise ValueError("must not contain NUL characters")
    return text


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def storable_json(value: JsonValue) -> JsonValue:
    """Refuses what JSON allows and PostgreSQL does not: NUL characters, and numbers too large for a double."""
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not contain numbers beyond 1.8e308")
    elif isinstance(value, dict):
        for key, item in value.items():
            storable(key)
            storable_json(item)
    elif isinstance(value, list):
        for item in value:
            storable_json(item)
    return value


Text = Annotated[str, AfterValidator(storable)]


def no_number(value: object) -> object:
    """Before a date or a moment is read: pydantic takes a number for the seconds since 1970."""
    if (isinstance(value, str) and "-" not in value[1:]) or isinstance(value, int | float):
        raise ValueError("must be written as in 2026-03-01 or 2026-03-01T12:00:00Z")
    return value
