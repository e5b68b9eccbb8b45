"""The outermost middleware: names each request, and tells Sentry and the log how it began and ended."""

import asyncio
import logging
import re
import time
from functools import partial
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from uuid_utils.compat import uuid7

from chatproject.middleware import AsyncMiddleware, for_browsers
from chatproject.observability import context, logs
from chatproject.observability.sentry import UNTRACED
from chatproject.problems import Problem, ProblemResponse

access = logging.getLogger("chatproject.access")

# A caller's request id goes into headers, logs and tags, so it may hold nothing that needs escaping.
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CLIENT_LEFT = 499  # nginx's status for it; nobody receives it, the log and the breadcrumb show it


class RequestContextMiddleware(AsyncMiddleware):
    """Sets request.request_id and request.trace_id, and both as response headers; leaves the breadcrumbs."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if SANE_ID.fullmatch(given) else uuid7().hex  # type: ignore[attr-defined]
        request.trace_id = context.trace_id()  # type: ignore[attr-defined]
        logs.begin(request_id=request.request_id, trace_id=request.trace_id)  # type: ignore[attr-defined]
        context.tag(request_id=request.request_id)  # type: ignore[attr-defined]
        # Now, since the one at the end comes too late for this request's own exception.
        context.breadcrumb("request started", method=request.method, path=request.path)
        try:
            response = await self._respond(request)
        except asyncio.CancelledError:
            context.end_transaction("ok")  # nobody's failure; without an answer the SDK would leave it open how it went
            finish(request, CLIENT_LEFT, started)
            raise
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        response["X-Trace-ID"] = request.trace_id  # type: ignore[attr-defined]
        if isinstance(response, HttpResponse) and not response.has_header("Content-Length"):
            response["Content-Length"] = str(len(response.content))
        finished = partial(finish, request, response.status_code, started)
        if hasattr(response, "on_end"):  # a stream ends when its last byte is sent, not here
            response.on_end = finished
        else:
            finished()
        return response

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        scope = getattr(request, "scope", {})
        if scope.get("chat.body_too_slow"):
            limit = f"Send it within {settings.CHAT_BODY_TIMEOUT} seconds, without long pauses."
            return Problem("body_too_slow", limit, headers={"Connection": "close"}).response(request)
        if scope.get("chat.body_too_large"):
            limit = f"The limit is {settings.CHAT_MAX_BODY_BYTES} bytes; send a smaller body."
            return Problem("body_too_large", limit).response(request)
        try:
            # Only the admin's CommonMiddleware would look. Probes come with an address for a host.
            if not request.path.startswith(UNTRACED):
                request.get_host()
        except DisallowedHost:
            return Problem("bad_request", "The Host header names no host of ALLOWED_HOSTS.").response(request)
        response = await self._answer(request)
        problem = None if for_browsers(request.path_info) else refusal(response)
        return problem.response(request) if problem else response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        """Answers HEAD, which monitors ask with, as GET without the body. The admin and static files do so alone."""
        if request.method != "HEAD" or for_browsers(request.path_info) or request.path_info.startswith("/static/"):
            return await self.get_response(request)
        request.method = "GET"
        response = await self.get_response(request)
        request.method = "HEAD"
        if isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        elif response.streaming:  # nothing of it is read, nor was anything begun but by a POST
            response = HttpResponse(status=response.status_code, headers=dict(response.items()))
        return response


def refusal(response: HttpResponseBase) -> Problem | None:
    """The problem that stands for Django's own page of a wrong path, or Ninja's of a wrong method."""
    if response.status_code == 405:
        allow = response["Allow"]
        return Problem("method_not_allowed", f"Use {allow}.", headers={"Allow": allow})
    if response.status_code == 404 and not isinstance(response, ProblemResponse):
        return Problem("not_found", "No endpoint matches this path; they are listed at /api/docs.")
    return None


def finish(request: HttpRequest, status: int, started: float) -> None:
    """Leaves the breadcrumb and the log line of a request whose last byte has gone."""
    milliseconds = round((time.perf_counter() - started) * 1000)
    context.breadcrumb("request ended", path=request.path, status_code=status, duration_ms=milliseconds)
    if not request.path.startswith(UNTRACED):
        # Quoted, or a newline in the path would forge a line of its own.
        path = quote(request.path)
        fields = {"method": request.method, "path": path, "status": status, "duration_ms": milliseconds}
        access.info("%s %s %s %d ms", request.method, path, status, milliseconds, extra=fields)
