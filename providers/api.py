"""Which providers and models there are, and whether they and the server are well."""

import time
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest
from ninja import Router, Schema, Status

from chatproject import db
from chatproject.openapi import problems
from chatproject.problems import Problem
from providers import routing
from providers.errors import ALL as PROVIDER_ERRORS
from providers.errors import ProviderError

router = Router(tags=["providers"])
health_router = Router(tags=["health"])


class ProviderOut(Schema):
    name: str
    label: str
    model: str
    fallback_model: str | None
    default: bool


class ModelOut(Schema):
    id: str
    provider: str
    default: bool


class ProviderPage(Schema):
    items: list[ProviderOut]
    next_cursor: str | None


class ModelPage(Schema):
    items: list[ModelOut]
    next_cursor: str | None


class Health(Schema):
    status: str


class ProviderHealth(Schema):
    provider: str
    status: str
    latency_ms: int
    models: int


@router.get("/providers", response={200: ProviderPage, **problems()})
async def list_providers(request: HttpRequest) -> dict[str, Any]:
    """The configured providers."""
    items = [
        {
            "name": p.name,
            "label": p.label,
            "model": p.model,
            "fallback_model": p.fallback_model or None,
            "default": p.name == settings.CHAT_DEFAULT_PROVIDER,
        }
        for p in settings.CHAT_PROVIDERS.values()
    ]
    return {"items": items, "next_cursor": None}


@router.get("/models", response={200: ModelPage, **problems()})
async def list_models(request: HttpRequest) -> dict[str, Any]:
    """Each provider's default and fallback model. A turn may name any other model that the provider has."""
    items = [
        {"id": model, "provider": p.name, "default": model == p.model}
        for p in settings.CHAT_PROVIDERS.values()
        for model in dict.fromkeys((p.model, p.fallback_model))
        if model
    ]
    return {"items": items, "next_cursor": None}


@health_router.get("/health", auth=None, response=Health)
async def health(request: HttpRequest) -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@health_router.get("/health/ready", auth=None, response={200: Health, 503: Health})
async def ready(request: HttpRequest) -> Status[dict[str, str]]:
    """Whether it can serve: the database answers."""
    try:
        await db.run(ping)
    except DatabaseError:
        return Status(503, {"status": "database unavailable"})
    return Status(200, {"status": "ok"})


def ping() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@health_router.get(
    "/health/{provider}", response={200: ProviderHealth, **problems("not_found", *(e.code for e in PROVIDER_ERRORS))}
)
async def provider_health(request: HttpRequest, provider: str) -> dict[str, Any]:
    """Asks the provider for its models, with this server's key: the cheapest call that proves both."""
    if provider not in settings.CHAT_PROVIDERS:
        raise Problem("not_found", f"Configured providers: {', '.join(settings.CHAT_PROVIDERS)}.")
    started = time.perf_counter()
    try:
        models = await routing.adapter(provider).list_models()
    except ProviderError as error:
        # No event: a probe reports a failure to whoever asked, the turns report it to Sentry.
        raise Problem(error.code, str(error), status=error.status, title=error.title, provider=provider) from None
    return {
        "provider": provider,
        "status": "ok",
        "latency_ms": round((time.perf_counter() - started) * 1000),
        "models": len(models),
    }
