"""Which web pages of other sites may read the API's answers: those of CORS_ALLOWED_ORIGINS, none by default.

Not django-cors-headers: it sends two signals and matches an expression on each request, and takes origins that no
browser sends. Credentials are never allowed: a page sends its API key itself. That is why `*` can stand for the names
of headers (but for Authorization, which has to be named). https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from chatproject.middleware import AsyncMiddleware

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, PUT, DELETE",
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Max-Age": "7200",  # seconds; Chromium takes no more
}
EXPOSED = "*"


def covered(request: HttpRequest) -> bool:
    return bool(settings.CORS_ALLOWED_ORIGINS) and request.path_info.startswith(("/api/", "/v1/"))


def allowed(request: HttpRequest) -> str | None:
    """The origin of the page that asks, if it may."""
    origin = request.headers.get("Origin")
    return origin if origin in settings.CORS_ALLOWED_ORIGINS else None


class CorsMiddleware(AsyncMiddleware):
    """Outside of everything that answers, so that a page can read a refusal, too."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if covered(request):
            patch_vary_headers(response, ["Origin"])
            if origin := allowed(request):
                response["Access-Control-Allow-Origin"] = origin
                response["Access-Control-Expose-Headers"] = EXPOSED
        return response


class PreflightMiddleware(AsyncMiddleware):
    """Answers a browser that asks whether a page may send a request. It asks without the page's API key."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if preflight and covered(request) and allowed(request):
            return HttpResponse(status=204, headers=PREFLIGHT)
        return await self.get_response(request)
