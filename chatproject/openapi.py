"""How the OpenAPI page tells of errors and event streams."""

import copy
from http import HTTPStatus
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import ConfigDict

from chatproject.problems import CODES, MEDIA_TYPE
from providers.errors import ALL as PROVIDER_ERRORS

# What any endpoint may answer.
COMMON = ("internal_error", "database_unavailable")
AUTH = ("not_authenticated", "invalid_api_key", "missing_scope", "too_many_requests")

CODES_KEY = "x-codes"
"""Carries an operation's problem codes from its definition to its documentation."""

STATUSES: dict[str, tuple[int, str]] = {**CODES, **{e.code: (e.status, e.title) for e in PROVIDER_ERRORS}}


class FieldProblem(Schema):
    field: str
    message: str


class AttemptProblem(Schema):
    provider: str
    model: str
    outcome: str
    code: str | None
    latency_ms: int


class ProblemOut(Schema):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    sentry_event_id: str | None = None
    trace_id: str | None = None
    errors: list[FieldProblem] | None = None
    conversation_id: str | None = Field(None, description="Of the turn that failed, as are the next four.")
    message_id: str | None = None
    provider: str | None = None
    model: str | None = None
    attempts: list[AttemptProblem] | None = Field(None, description="Who was asked, when that was more than once.")
    provider_message: str | None = Field(None, description="The provider's own words, where the request was at fault.")
    open_tool_calls: list[str] | None = Field(None, description="The calls that wait for their results.")


def problems(*codes: str, auth: bool = True) -> dict[int, Any]:
    """The `response` entries for these problem codes and those that every endpoint has."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, *(AUTH if auth else ()), *COMMON):
        by_status.setdefault(STATUSES[code][0], []).append(code)
    return {
        status: Annotated[ProblemOut, Field(json_schema_extra={CODES_KEY: list(dict.fromkeys(group))})]
        for status, group in sorted(by_status.items())
    }


def example(code: str) -> dict[str, Any]:
    status, title = STATUSES[code]
    return {
        "type": f"urn:problem:chat-api:{code}",
        "title": title,
        "status": status,
        "detail": "What happened, and what to do about it.",
        "code": code,
        "request_id": "0198c9b2f0c77d5c8a4be3a2f0d1c2b3",
    }


COMPLETED = """\
event: message.created
id: 0
data: {"id": "0198c9b2-...", "status": "streaming", ...}

event: message.delta
id: 1
data: {"delta": "The capital of France"}

event: message.delta
id: 2
data: {"delta": " is Paris."}

event: message.completed
id: 3
data: {"id": "0198c9b2-...", "status": "completed", "content": "The capital of France is Paris.", ...}
"""
FAILED = """\
event: message.created
id: 0
data: {"id": "0198c9b2-...", "status": "streaming", ...}

event: message.reasoning
id: 1
data: {"delta": "The user asks for a capital."}

: ping

event: message.delta
id: 2
data: {"delta": "The capital"}

event: message.failed
id: 3
data: {"type": "urn:problem:chat-api:timeout", "status": 504, "code": "timeout", "message_id": "0198c9b2-...", ...}
"""
STREAMS = {
    "completed": {"summary": "A turn that completes", "value": COMPLETED},
    "failed": {"summary": "One with `reasoning`, that is silent for a while and then fails", "value": FAILED},
}


def sse() -> dict[str, Any]:
    """The `openapi_extra` of an endpoint that can stream."""
    content = {"text/event-stream": {"schema": {"type": "string"}, "examples": STREAMS}}
    return {"responses": {200: {"description": "OK", "content": content}}}


IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": (
        "A name for this request, new for each. Sent again within 24 hours with the same key and body it gets the first"
        " one's result, with the header `Idempotency-Replayed: true`, and is not carried out a second time. What was"
        " refused before it began may be sent again."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
}
IDEMPOTENCY = {
    409: ["idempotency_in_progress", "idempotency_not_kept"],
    422: ["idempotency_key_reused", "invalid_request"],
    503: ["interrupted"],
}


def with_idempotency(schema: dict[str, Any]) -> None:
    """Documents the header Idempotency-Key of every POST, with what can come of it; before `as_problem_documents`."""
    for path, operations in schema["paths"].items():
        if (operation := operations.get("post")) is None:
            continue
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
        responses = operation["responses"]
        for status, codes in IDEMPOTENCY.items() if path.startswith("/api/") else ():
            like = copy.deepcopy(responses[500]) | {"description": HTTPStatus(status).phrase}
            like["content"]["application/json"]["schema"].pop(CODES_KEY)
            response = responses.setdefault(status, like)
            known = response["content"]["application/json"]["schema"]
            known[CODES_KEY] = list(dict.fromkeys([*known.get(CODES_KEY, ()), *codes]))


def as_problem_documents(schema: dict[str, Any]) -> None:
    """Gives every error response of an OpenAPI document its media type and an example for each of its codes."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                codes = content.get("application/json", {}).get("schema", {}).pop(CODES_KEY, None)
                if codes:
                    examples = {code: {"value": example(code)} for code in codes}
                    content[MEDIA_TYPE] = {**content.pop("application/json"), "examples": examples}
