"""Problems in OpenAI's form, for the paths that its clients call.

    {"error": {"message": ..., "type": ..., "param": ..., "code": ..., "request_id": ...}}

`param` is the field at fault; `code` is OpenAI's where it has one for it, else that of the problem. What else the
problem says of its turn (`sentry_event_id`, `provider` ...) is there as well.
"""

import re
from collections.abc import Mapping
from typing import Any

STATUSES = {"context_too_long": 400, "unknown_model": 404, "unknown_provider": 404}
"""Where OpenAI's status is another than the problem's."""
CODES = {
    "context_too_long": "context_length_exceeded",
    "unknown_model": "model_not_found",
    "unknown_provider": "model_not_found",
    "rate_limited": "rate_limit_exceeded",
    "too_many_requests": "rate_limit_exceeded",
    "too_many_tokens": "rate_limit_exceeded",
    "too_many_turns": "rate_limit_exceeded",
    "budget_exhausted": "insufficient_quota",
}
FINAL = {"cancelled", "tool_results_mismatch", "idempotency_not_kept"}
"""Conflicts that no repetition mends: the clients repeat a 409 unless they are told not to."""
USED_UP = {"too_many_tokens", "budget_exhausted"}
"""Limits that, without a `Retry-After`, no waiting mends. A provider's is transient: some just do not say how long."""
IN_VAIN = {"x-should-retry": "false"}
"""The word that keeps the clients from trying again."""
LEFT_OUT = {"type", "title", "status", "detail", "code", "errors", "provider_message"}


def wanted(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")


def status_of(code: str, status: int) -> int:
    return STATUSES.get(code, 400 if status == 422 else status)


def headers_of(code: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The problem's, and IN_VAIN where it is: what is a replay will be one again."""
    vain = code in FINAL or "Idempotency-Replayed" in headers or (code in USED_UP and "Retry-After" not in headers)
    return {**headers, **IN_VAIN} if vain else dict(headers)


def error(document: Mapping[str, Any]) -> dict[str, Any]:
    """{"error": ...} of a problem document."""
    code, errors = document["code"], document.get("errors") or [{}]
    words = [document["detail"], document.get("provider_message")]
    return {
        "error": {
            "message": " ".join(filter(None, words)),
            "type": type_of(CODES.get(code, code), status_of(code, document["status"])),
            "param": re.sub(r"\.(\d+)", r"[\1]", errors[0]["field"]) if errors[0] else None,
            "code": CODES.get(code, code),
            **{name: value for name, value in document.items() if name not in LEFT_OUT},
        }
    }


def type_of(code: str, status: int) -> str:
    if code == "insufficient_quota":
        return code
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
