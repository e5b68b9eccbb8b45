"""Strings of a provider's JSON, made fit for a database."""


def clean(text: str) -> str:
    """Text that every database and every encoder takes: no NUL, no half of a surrogate pair."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\x00", "") if "\x00" in text else text


def string(value: object) -> str | None:
    """None for what is no string."""
    return clean(value) if isinstance(value, str) else None
