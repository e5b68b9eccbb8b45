"""What the server tells of itself: how busy it is, and, by breaking on purpose, that Sentry hears of it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router

from chatproject.apikeys.auth import ApiKeyAuth, StaffKeyAuth
from chatproject.apikeys.scopes import ADMIN
from chatproject.load import load
from chatproject.openapi import problems

router = Router(tags=["health"])

METRICS = """\
# HELP chat_live_turns Turns under way in all workers of this server, and so streams open to providers.
# TYPE chat_live_turns gauge
chat_live_turns {turns}
"""
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
AS_TEXT = {"responses": {200: {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}}}


@router.get("/metrics", auth=ApiKeyAuth(ADMIN), response=problems(), openapi_extra=AS_TEXT)
async def metrics(request: HttpRequest) -> HttpResponse:
    """How many turns this server has under way, in Prometheus' text format: what to scale on.

    Everything else that is measured goes to Sentry.
    """
    return HttpResponse(METRICS.format(turns=load.turns), content_type=PROMETHEUS)


@router.get(
    "/sentry-debug",
    auth=None if settings.SENTRY_DEBUG_OPEN else StaffKeyAuth(),
    response=problems("internal_error", "forbidden", auth=not settings.SENTRY_DEBUG_OPEN),
)
async def sentry_debug(request: HttpRequest) -> float:
    """Divides by zero. The answer names the event and the trace to look up in Sentry."""
    return 1 / 0
