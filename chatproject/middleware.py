"""Django's middleware, made fit for an async API: static files without a thread, the admin's own off the API."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware import common, csrf
from whitenoise.middleware import WhiteNoiseMiddleware

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def for_browsers(path: str) -> bool:
    """Whether the path is one of the admin's: sessions, cookies and templates mean something only there."""
    return path == "/admin" or path.startswith("/admin/")


class AsyncMiddleware:
    """What our own middleware begins with: it is async, and nothing else."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise's middleware is sync only, which would run every request in a thread of its own."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        static_file = self.files.get(request.path_info)
        if static_file is None:
            response: HttpResponseBase = await self.get_response(request)
            return response
        return whole(self.serve(static_file, request))


def whole(response: Any) -> HttpResponse:
    """A streamed file as one body: the admin's files are small, and Django warns of sync streams under ASGI."""
    answer = HttpResponse(response.getvalue(), status=response.status_code, headers=dict(response.items()))
    response.close()
    return answer


class BrowserOnly:
    """Passes a request that is not for the admin straight on."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if for_browsers(request.path_info):
            response: HttpResponseBase = await super().__acall__(request)  # type: ignore[misc]
            return response
        return await self.get_response(request)  # type: ignore[attr-defined, no-any-return]


class SessionMiddleware(BrowserOnly, sessions.SessionMiddleware):
    pass


class CommonMiddleware(BrowserOnly, common.CommonMiddleware):
    pass


class CsrfViewMiddleware(BrowserOnly, csrf.CsrfViewMiddleware):
    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, *args: Any
    ) -> HttpResponseBase | None:
        # Django calls it outside of __acall__, and would give a sync one a thread on every request.
        if not for_browsers(request.path_info):
            return None
        return await sync_to_async(super().process_view, thread_sensitive=True)(request, *args)


class AuthenticationMiddleware(BrowserOnly, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(BrowserOnly, messages.MessageMiddleware):
    pass
