"""What a key may do. Each endpoint asks for one scope, which its method tells unless it says otherwise."""

from typing import Any

from django.core.exceptions import ValidationError

CHAT = "chat"
READ = "read"
ADMIN = "admin"

SCOPES = {
    CHAT: "begin turns, and write",
    READ: "read",
    ADMIN: "ask providers how they are and the server how busy it is, and break it on purpose",
}


def every_scope() -> list[str]:
    return list(SCOPES)


def for_method(method: str | None) -> str:
    return READ if method in {"GET", "HEAD"} else CHAT


def validate_scopes(value: Any) -> None:
    """Raises ValidationError unless it is a list of scopes, at least one, each once."""
    if not isinstance(value, list) or not value or len(set(value)) < len(value) or not set(value) <= SCOPES.keys():
        raise ValidationError(f"Scopes are one or more of: {', '.join(SCOPES)}.")
