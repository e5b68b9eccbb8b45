"""Errors as RFC 9457 problem documents. One table says which codes there are; documentation derives from it."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from chatproject import openai_errors

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
    "missing_scope": (403, "The API key is not for this"),
    "not_found": (404, "There is nothing here"),
    "conversation_not_found": (404, "There is no such conversation"),
    "assistant_not_found": (404, "There is no such assistant"),
    "message_not_found": (404, "There is no such message"),
    "events_not_kept": (404, "The events of this answer were not kept"),
    "body_too_slow": (408, "The body takes too long"),
    "method_not_allowed": (405, "This method is not supported here"),
    "turn_in_progress": (409, "An answer is still under way"),
    "tool_results_mismatch": (409, "The tool results are not those of the open calls"),
    "not_last_answer": (409, "The message is not the conversation's last answer"),
    "too_many_messages": (409, "The conversation is too long to be forked there"),
    "assistant_exists": (409, "There is an assistant of this name"),
    "cancelled": (409, "The turn was cancelled"),
    "idempotency_in_progress": (409, "The first request with this key is still under way"),
    "idempotency_not_kept": (409, "The result of the first request with this key was not kept"),
    "events_gone": (410, "The events of this answer are no longer kept"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "invalid_request": (422, "The request does not fit"),
    "idempotency_key_reused": (422, "This key was used for another request"),
    "too_many_requests": (429, "The API key has made too many requests"),
    "too_many_tokens": (429, "The API key has taken too many tokens"),
    "too_many_turns": (429, "The API key has too many turns under way"),
    "budget_exhausted": (429, "The API key's budget is used up"),
    "internal_error": (500, "Something broke on our side"),
    "database_unavailable": (503, "The database cannot be reached"),
    "interrupted": (503, "The server is shutting down"),
}


class ProblemResponse(HttpResponse):
    """An answer that says what is wrong, in whatever form."""


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
        """The document, or what OpenAI's clients expect in its place where these call."""
        document, status = self.document(getattr(request, "request_id", "")), self.status
        media_type, headers = MEDIA_TYPE, self.headers
        if openai_errors.wanted(request.path_info):
            headers = openai_errors.headers_of(self.code, headers)
            document, status = openai_errors.error(document), openai_errors.status_of(self.code, status)
            media_type = "application/json"
        body = json.dumps(document, ensure_ascii=False)
        return ProblemResponse(body, status=status, content_type=media_type, headers=headers)
