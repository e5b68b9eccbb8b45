"""Django's ASGI handler, but that a request of the API costs no thread."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from typing import Any

from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from chatproject.middleware import for_browsers

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Handler(ASGIHandler):
    """Django sends `request_started` and `request_finished` from a thread that it starts and ends for each request,
    about an eighth of what a short turn costs. Who listens to them looks after the database connections of that
    thread. The API's requests have none there, since `db.run` looks after its own: they are not told of as started,
    and told of as finished from where they are.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if for_browsers(scope["path"]):
            await super().handle(scope, receive, send)
            return
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with closing(body):
            set_script_prefix(get_script_prefix(scope))
            request, refused = self.create_request(scope, body)
            if refused is not None:
                await self.send_response(refused, send)
            elif request is not None and (response := await self.answered(request, receive, send)):
                response.close()

    async def answered(self, request: HttpRequest, receive: Receive, send: Send) -> HttpResponseBase | None:
        """The response, once it is sent; None when the client left before there was one. His leaving cancels both.

        Raises what the view and the server raise.
        """
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        answering = asyncio.create_task(self.answer(request, send))
        await asyncio.wait((leaving, answering), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        with suppress(asyncio.CancelledError, RequestAborted):
            await leaving
        if not answering.done():
            answering.cancel()
        try:
            return await answering
        except asyncio.CancelledError:
            return None

    async def answer(self, request: HttpRequest, send: Send) -> HttpResponseBase:
        response = await self.run_get_response(request)
        with suppress(asyncio.CancelledError):  # the client has left while it was sent
            await self.send_response(response, send)
        return response
