"""Bugs to order: routes that break, and models whose adapter does. Each puts all it knows into its exception's text.

`DJANGO_SETTINGS_MODULE=tests.fakes.faulty_settings` starts the server with them.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from chatproject import db, urls
from conversations.live import registry
from providers import routing
from providers.base import ChatRequest, Delta

handler400, handler500 = urls.handler400, urls.handler500
BUGS = ("bug-before", "bug-mid-stream")
STATEMENTS = {
    "null": "UPDATE conversations_conversation SET owner_id = NULL",
    "unique": "UPDATE auth_user SET username = (SELECT min(username) FROM auth_user)",
    "number": "SELECT CAST(title AS integer) FROM conversations_conversation",
    "range": "SELECT CAST('0x' || title AS integer) FROM conversations_conversation",
    "time": "SELECT CAST(system_prompt AS timestamptz) FROM conversations_conversation",
    "json": "SELECT CAST(content AS json) FROM conversations_message",
}
"""What PostgreSQL refuses with words that quote a row, of which nothing came with the request."""


class Buggy:
    """A ChatProvider that is none for the models in BUGS."""

    def __init__(self, name: str) -> None:
        self._provider = settings.CHAT_PROVIDERS[name]
        self._real = routing.adapter(name)

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        if request.model == "bug-mid-stream":
            yield Delta(text="one ")
        if request.model in BUGS:
            try:
                raise KeyError(f"prompt={request.messages!r}")
            except KeyError as error:
                raise ValueError(f"{request.messages} with {self._provider.api_key}; {secrets()}") from error
        async for delta in self._real.stream(request):
            yield delta


routing.chat_provider = Buggy


def secrets() -> str:
    database = settings.DATABASES["default"].get("PASSWORD")
    return f"{settings.SECRET_KEY} {database} {settings.SENTRY_DSN}"


def everything(request: HttpRequest) -> str:
    """The known pieces first: only the beginning of a text travels."""
    authorization, query = request.headers.get("Authorization"), request.META["QUERY_STRING"]
    return f"{request.body!r} {secrets()} {request.COOKIES} {authorization} {query} {request.META}"


async def broken_view(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(everything(request))


def broken_sync_view(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(everything(request))


async def broken_row(request: HttpRequest) -> HttpResponse:
    """What PostgreSQL says of a row that it refuses, of which nothing came with this request."""
    raise IntegrityError(f"violates a constraint\nDETAIL:  Failing row contains ({request.GET['row'][::-1]}).")


async def broken_statement(request: HttpRequest, name: str) -> HttpResponse:
    def execute() -> None:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENTS[name])

    await db.run(execute)
    return HttpResponse()


async def broken_stream(request: HttpRequest) -> StreamingHttpResponse:
    """Breaks outside of all our own handling: the ASGI server hears of it."""
    text = everything(request)

    async def body() -> AsyncIterator[bytes]:
        yield b"one "
        raise RuntimeError(text)

    return StreamingHttpResponse(body())


async def inside(request: HttpRequest) -> JsonResponse:
    """What the worker holds: its tasks, by what they run, and its live turns."""
    tasks = sorted(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    return JsonResponse({"tasks": tasks, "turns": len(registry.turns)})


urlpatterns: list[Any] = [
    path("inside", inside),
    path("broken/view", broken_view),
    path("broken/sync", broken_sync_view),
    path("broken/row", broken_row),
    path("broken/statement/<name>", broken_statement),
    path("broken/stream", broken_stream),
    *urls.urlpatterns,
]
