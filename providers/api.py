"""Which providers and models there are, and whether they and the server are well."""

import time
from datetime import datetime
from functools import cache
from typing import Any, Literal

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest
from ninja import Router, Schema, Status

from chatproject import db
from chatproject.apikeys.auth import ApiKeyAuth
from chatproject.apikeys.scopes import ADMIN
from chatproject.openapi import problems
from chatproject.problems import Problem
from providers import breaker, routing
from providers.circuits import State
from providers.errors import ALL as PROVIDER_ERRORS
from providers.errors import ProviderError
from providers.shared_circuits import own_model

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


class CircuitOut(Schema):
    """A model of the provider that has failed too often: open, or half open while one turn tries whether it is back."""

    model: str | None
    """None for a model that is not this server's own: its name is the affair of the user who gave it."""
    state: Literal["open", "half_open"]
    failures: int
    code: str
    retry_after_s: int
    opened_at: datetime


class ProviderHealth(Schema):
    provider: str
    status: Literal["ok", "degraded"]
    latency_ms: int
    models: int
    circuits: list[CircuitOut]


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
    """Whether it can serve: the database answers, and has the tables of this version."""
    try:
        migrated = await db.run(is_migrated)
    except DatabaseError:
        return Status(503, {"status": "database unavailable"})
    if not migrated:
        return Status(503, {"status": "migrations are missing"})
    return Status(200, {"status": "ok"})


def is_migrated() -> bool:
    """Raises DatabaseError when the database does not answer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    try:
        require_migrations()
    except Unmigrated:
        return False
    return True


class Unmigrated(Exception):
    """`manage.py migrate` has something to do."""


@cache
def require_migrations() -> None:
    """Raises Unmigrated. Looks only until there are none to do: what has been migrated stays so."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise Unmigrated


@health_router.get(
    "/health/{provider}",
    auth=ApiKeyAuth(ADMIN),
    response={200: ProviderHealth, **problems("not_found", *(e.code for e in PROVIDER_ERRORS))},
)
async def provider_health(request: HttpRequest, provider: str) -> dict[str, Any]:
    """Asks the provider for its models, with this server's key: the cheapest call that proves both.

    `degraded`: it answers, but turns have failed so often that one of its models gets a pause. A provider that does
    not answer is a problem document, with its `circuits` if there are any.
    """
    if provider not in settings.CHAT_PROVIDERS:
        raise Problem("not_found", f"Configured providers: {', '.join(settings.CHAT_PROVIDERS)}.")
    circuits = await circuits_of(provider)
    started = time.perf_counter()
    try:
        models = await routing.adapter(provider).list_models()
    except ProviderError as error:
        # No event: a probe reports a failure to whoever asked, the turns report it to Sentry.
        raise Problem(
            error.code,
            str(error),
            status=error.status,
            title=error.title,
            provider=provider,
            circuits=[circuit.model_dump(mode="json") for circuit in circuits] or None,
        ) from None
    return {
        "provider": provider,
        "status": "degraded" if circuits else "ok",
        "latency_ms": round((time.perf_counter() - started) * 1000),
        "models": len(models),
        "circuits": circuits,
    }


async def circuits_of(provider: str) -> list[CircuitOut]:
    return [
        CircuitOut(
            model=own_model(trouble.key),
            state="open" if trouble.state is State.OPEN else "half_open",
            failures=trouble.failures,
            code=trouble.code,
            retry_after_s=trouble.retry_after_s,
            opened_at=trouble.opened_at,
        )
        for trouble in await breaker.troubles(provider)
    ]
