"""Errors as RFC 9457 problem documents. One table says which codes there are; documentation derives from it."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

MEDIA_TYPE = "application/problem+json"

# code -> (HTTP status, title). A provider's failures are in providers/errors.py.
CODES: dict[str, tuple[int, str]] = {
    "invalid_json": (400, "The body is not valid JSON"),
    "invalid_cursor": (400, "The cursor is not one of ours"),
    "bad_request": (400, "The request is malformed"),
    "unknown_provider": (400, "There is no such provider here"),
    "not_authenticated": (401, "An API key is needed"),
    "invalid_api_key": (401, "The API key is not valid"),
    "forbidden": (403, "Not allowed"),
    "not_found": (404, "There is nothing here"),
    "conversation_not_found": (404, "There is no such conversation"),
    "message_not_found": (404, "There is no such message"),
    "method_not_allowed": (405, "This method is not supported here"),
    "turn_in_progress": (409, "An answer is still under way"),
    "tool_results_mismatch": (409, "The tool results are not those of the open calls"),
    "cancelled": (409, "The turn was cancelled"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "invalid_request": (422, "The request does not fit"),
    "internal_error": (500, "Something broke on our side"),
    "database_unavailable": (503, "The database cannot be reached"),
    "interrupted": (503, "The server is shutting down"),
}


class Problem(Exception):
    """An answer other than success. `code` is a key of CODES, or comes with its own status and title."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(code)
        known_status, known_title = CODES.get(code, (500, code))
        self.code = code
        self.detail = detail
        self.status = status or known_status
        self.title = title or known_title
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self, request_id: str) -> dict[str, Any]:
        """The problem document: {type, title, status, detail, code, request_id, ...}; unknown extras are left out."""
        return {
            "type": f"urn:problem:chat-api:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **{key: value for key, value in self.extra.items() if value is not None},
        }

    def response(self, request: HttpRequest) -> HttpResponse:
        body = json.dumps(self.document(getattr(request, "request_id", "")), ensure_ascii=False)
        return HttpResponse(body, status=self.status, content_type=MEDIA_TYPE, headers=self.headers)
