"""The security headers of every response, refusals and streams included. A view's own value wins."""

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from chatproject.middleware import AsyncMiddleware, for_browsers

# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Of images, scripts and the like in other sites' pages; what CORS allows is not touched by it.
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
# Swagger UI styles its elements one by one.
DOCS = PAGE + "; style-src 'self' 'unsafe-inline'"
NOTHING = "default-src 'none'; frame-ancestors 'none'"


def headers_of(path: str) -> dict[str, str]:
    """What a response to this path bears."""
    if for_browsers(path) or path.startswith("/static/"):
        headers = {**EVERYWHERE, "Content-Security-Policy": PAGE}
    elif path == "/api/docs":
        headers = {**EVERYWHERE, "Content-Security-Policy": DOCS}
    else:
        headers = {**EVERYWHERE, "Content-Security-Policy": NOTHING, "Cache-Control": "no-store"}
    if settings.HSTS_SECONDS:
        headers["Strict-Transport-Security"] = f"max-age={settings.HSTS_SECONDS}"
    return headers


class SecurityHeadersMiddleware(AsyncMiddleware):
    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        for name, value in headers_of(request.path_info).items():
            response.headers.setdefault(name, value)
        return response
