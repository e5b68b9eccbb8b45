"""Tells the caller with a limited key how many requests are left, on every answer."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from chatproject.apikeys.limits import headers_of, openai_headers_of
from chatproject.middleware import AsyncMiddleware


class RateLimitMiddleware(AsyncMiddleware):
    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        rate = getattr(request, "rate", None)
        if rate is None:
            return response
        for name, value in headers_of(rate).items():
            # After those of another limit, which has refused the request.
            response[name] = f"{response[name]}, {value}" if response.has_header(name) else value
        if request.path_info.startswith("/v1/"):
            for name, value in openai_headers_of(rate).items():
                response[name] = value
        return response
