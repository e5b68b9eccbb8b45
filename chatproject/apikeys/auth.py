"""Bearer authentication with API keys: which key it is, whether it may, and whether it has asked too often."""

from django.http import HttpRequest
from ninja.security.base import AuthBase

from chatproject import db
from chatproject.apikeys import scopes
from chatproject.apikeys.known import known
from chatproject.apikeys.limits import too_many_requests
from chatproject.apikeys.models import ApiKey
from chatproject.apikeys.rates import counter
from chatproject.observability import context
from chatproject.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chat-api"'}


class ApiKeyAuth(AuthBase):
    """`Authorization: Bearer ck_...`. Ninja's own HttpBearer logs the header with DEBUG."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    is_async = True

    def __init__(self, scope: str | None = None) -> None:
        """`scope`: what the key must be for; None is `read` for a GET, else `chat`."""
        super().__init__()
        self.scope = scope

    async def __call__(self, request: HttpRequest) -> ApiKey:
        """Sets request.user. Raises Problem `not_authenticated` or `invalid_api_key` (401), `missing_scope` (403) or
        `too_many_requests` (429).
        """
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not plain.strip():
            raise Problem("not_authenticated", "Send the header `Authorization: Bearer <API key>`.", headers=CHALLENGE)
        plain = plain.strip()
        key = known.get(plain) or await look_up(plain)
        if key is None:
            raise Problem(
                "invalid_api_key",
                "The key is unknown, revoked or expired; `manage.py create_api_key` makes a new one.",
                headers=CHALLENGE,
            )
        request.user = key.user
        context.user(str(key.user.pk), key.user.get_username(), getattr(key.user, "email", ""))
        if key.rate is not None:
            request.rate = key.rate  # type: ignore[attr-defined]
            if key.rate.refused:
                raise too_many_requests(key.rate)
        require(key, self.scope or scopes.for_method(request.method))
        return key


class StaffKeyAuth(ApiKeyAuth):
    """The same, for keys of staff users with the scope `admin`."""

    def __init__(self) -> None:
        super().__init__(scopes.ADMIN)

    async def __call__(self, request: HttpRequest) -> ApiKey:
        key = await super().__call__(request)
        if not key.user.is_staff:
            raise Problem("forbidden", "This needs the API key of a staff user.")
        return key


def require(key: ApiKey, scope: str) -> None:
    """Raises Problem `missing_scope` unless the key has the scope."""
    if scope not in key.scopes:
        challenge = f'{CHALLENGE["WWW-Authenticate"]}, error="insufficient_scope", scope="{scope}"'
        detail = f"This needs an API key with the scope `{scope}`, to {scopes.SCOPES[scope]}."
        raise Problem("missing_scope", detail, scope=scope, headers={"WWW-Authenticate": challenge})


async def look_up(plain: str) -> ApiKey | None:
    key = await db.run(authenticate, plain)
    if key is not None:
        known.add(plain, key)
    return key


def authenticate(plain: str) -> ApiKey | None:
    """The usable key for `plain`, noted as used, with its rate if its requests are limited; None otherwise."""
    found = ApiKey.objects.find(plain)
    if found is None or not found.usable:
        return None
    found.touch()
    key = found
    if found.replaced_by is not None:
        key = found.replaced_by
        key.user = found.user
    if limit := key.limit("requests_per_minute"):
        key.rate = counter.count(key.pk, limit)
    return key
