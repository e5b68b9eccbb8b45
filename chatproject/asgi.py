"""The ASGI application: Django, behind an answer to the lifespan protocol and a bound on the body."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import django
import sentry_sdk
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

django.setup(set_prefix=False)

from conversations.live import registry  # noqa: E402
from providers import routing  # noqa: E402

django_app = ASGIHandler()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await django_app(scope, bounded(scope, receive), send)


def bounded(scope: Message, receive: Receive) -> Receive:
    """Reads at most CHAT_MAX_BODY_BYTES of the body, discards the rest and marks the scope.

    Django spools a whole body to disk before any code of ours runs. Reading on, instead of answering at once, lets
    a client that sends first and reads later see the 413.
    """
    limit = settings.CHAT_MAX_BODY_BYTES
    seen = 0

    async def bounded_receive() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                scope["chat.body_too_large"] = True
                message = {**message, "body": b""}
        return message

    return bounded_receive


async def lifespan(receive: Receive, send: Send) -> None:
    """Warms what the first request would wait for; at shutdown ends the live turns and flushes Sentry."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            routing.warm()

            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await registry.stop()
            await sync_to_async(sentry_sdk.flush, thread_sensitive=False)(timeout=5)
            await send({"type": "lifespan.shutdown.complete"})
            return
