"""Bearer authentication with API keys."""

from django.http import HttpRequest
from ninja.security.base import AuthBase

from chatproject import db
from chatproject.apikeys.models import ApiKey
from chatproject.observability import context
from chatproject.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chat-api"'}


class ApiKeyAuth(AuthBase):
    """`Authorization: Bearer ck_...`. Ninja's own HttpBearer logs the header with DEBUG."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    is_async = True

    async def __call__(self, request: HttpRequest) -> ApiKey:
        """Sets request.user. Raises Problem `not_authenticated` or `invalid_api_key` (401)."""
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not plain.strip():
            raise Problem("not_authenticated", "Send the header `Authorization: Bearer <API key>`.", headers=CHALLENGE)
        key = await db.run(authenticate, plain.strip())
        if key is None:
            raise Problem(
                "invalid_api_key",
                "The key is unknown or revoked; `manage.py create_api_key` makes a new one.",
                headers=CHALLENGE,
            )
        request.user = key.user
        context.user(str(key.user.pk), key.user.get_username(), getattr(key.user, "email", ""))
        return key


class StaffKeyAuth(ApiKeyAuth):
    """The same, for staff users only."""

    async def __call__(self, request: HttpRequest) -> ApiKey:
        key = await super().__call__(request)
        if not key.user.is_staff:
            raise Problem("forbidden", "This needs the API key of a staff user.")
        return key


def authenticate(plain: str) -> ApiKey | None:
    """The usable key for `plain`, noted as used; None otherwise."""
    key = ApiKey.objects.find(plain)
    if key is None or not key.usable:
        return None
    key.touch()
    return key
