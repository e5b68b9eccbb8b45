"""GET /sentry-debug: breaks on purpose, to see that Sentry hears of it."""

from django.conf import settings
from django.http import HttpRequest
from ninja import Router

from chatproject.apikeys.auth import StaffKeyAuth
from chatproject.openapi import problems

router = Router(tags=["health"])


@router.get(
    "/sentry-debug",
    auth=None if settings.SENTRY_DEBUG_OPEN else StaffKeyAuth(),
    response=problems("internal_error", "forbidden", auth=not settings.SENTRY_DEBUG_OPEN),
)
async def sentry_debug(request: HttpRequest) -> float:
    """Divides by zero. The answer names the event and the trace to look up in Sentry."""
    return 1 / 0
