"""The ASGI application: Django, behind an answer to the lifespan protocol and a bound on the body."""

import asyncio
import gc
import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any

import django
import sentry_sdk
from asgiref.sync import sync_to_async
from django.conf import settings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

django.setup(set_prefix=False)

from chatproject import names  # noqa: E402
from chatproject.handler import Handler  # noqa: E402
from chatproject.observability import logs, privacy, sentry, sessions, transport  # noqa: E402
from conversations.live import registry  # noqa: E402
from providers import routing  # noqa: E402

SENTRY_WAIT = 2.0
"""Seconds that a shutdown waits for Sentry to take what is left; less than gunicorn.conf.py keeps for the end."""

YOUNG = 5_000
"""Objects after which Python looks for cycles among the new ones. At its own 700, a busy worker looked several times
within each turn, of which hardly anything is garbage yet: 4 % of its CPU.
"""

BODY_SILENCE = 20
"""Seconds between two pieces of a body; gunicorn gives up after 30, with a 500."""

django_app = Handler()
# Not in LOGGING, which would take gunicorn's own handler away.
logging.getLogger("gunicorn.error").addFilter(privacy.RedactTracebacks())
logs.adopt("gunicorn.error", settings.LOG_FORMAT)


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})  # before it is accepted: the client gets 403
    else:
        with sessions.uncounted() if scope["path"].startswith(sentry.UNTRACED) else nullcontext():
            await django_app(scope, bounded(scope, receive, privacy.begin(scope)), send)
            # Not after an exception: gunicorn logs that one once it is out of here.
            privacy.end()


def bounded(scope: Message, receive: Receive, supplied: privacy.Supplied) -> Receive:
    """Reads at most CHAT_MAX_BODY_BYTES of the body, discards the rest and marks the scope.

    Django spools a whole body to disk before any code of ours runs. Reading on, instead of answering at once, lets
    a client that sends first and reads later see the 413. One that takes too long to send is marked as well.
    """
    limit = settings.CHAT_MAX_BODY_BYTES
    seen = 0
    receive = in_time(scope, receive)

    async def bounded_receive() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                scope["chat.body_too_large"] = True
                message = {**message, "body": b""}
            supplied.body.append(message.get("body", b""))
        return message

    return bounded_receive


def in_time(scope: Message, receive: Receive) -> Receive:
    """Ends a body that is silent for BODY_SILENCE or not whole after CHAT_BODY_TIMEOUT, and marks the scope."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.CHAT_BODY_TIMEOUT
    more = True

    async def timely_receive() -> Message:
        nonlocal more
        if "chat.body_too_slow" in scope:
            await loop.create_future()  # for ever: nobody reads what still comes of it
        if not more:
            return await receive()
        message = await soon(receive, deadline)
        if message is None:
            scope["chat.body_too_slow"] = True
            return {"type": "http.request", "body": b"", "more_body": False}
        more = bool(message.get("more_body"))
        return message

    return timely_receive


async def soon(receive: Receive, deadline: float) -> Message | None:
    """The next message; None when it is late. Of a client that is never silent nothing else would be the last."""
    left = deadline - asyncio.get_running_loop().time()
    if left <= 0:
        return None
    try:
        async with asyncio.timeout(min(BODY_SILENCE, left)):
            return await receive()
    except TimeoutError:
        return None


async def after_body(receive: Receive) -> Message:
    """The client's leaving. What still comes of a body that was ended is thrown away."""
    while (message := await receive())["type"] == "http.request":
        pass
    return message


async def lifespan(receive: Receive, send: Send) -> None:
    """Warms what the first request would wait for; at shutdown ends the live turns and flushes Sentry.

    At a SIGINT gunicorn leaves the shutdown out and cancels this, as it does the live turns.
    """
    try:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                names.install(asyncio.get_running_loop())
                transport.attach()
                routing.warm()
                registry.start()
                gc.freeze()  # what is loaded stays; to go through it again and again took an eighth of a busy worker
                gc.set_threshold(YOUNG)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await registry.stop()
                client = sentry_sdk.get_client()
                await sync_to_async(client.flush, thread_sensitive=False)(timeout=SENTRY_WAIT)
                await transport.detach()
                # Or the SDK would wait a second time when the interpreter ends.
                await sync_to_async(client.close, thread_sensitive=False)(timeout=0)
                await send({"type": "lifespan.shutdown.complete"})
                return
    finally:
        await transport.detach()
        await routing.close()
