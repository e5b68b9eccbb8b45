"""How the OpenAPI page tells of OpenAI's errors and its stream."""

from typing import Any

from ninja import Schema
from pydantic import ConfigDict

from chatproject import openai_errors
from chatproject.openapi import AUTH, COMMON, STATUSES


class OpenAIErrorDetail(Schema):
    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None
    code: str
    request_id: str


class OpenAIError(Schema):
    """OpenAI's form of an error."""

    error: OpenAIErrorDetail


def errors(*codes: str) -> dict[int, Any]:
    """The `response` entries for these problem codes, and those that every endpoint has."""
    statuses = {openai_errors.status_of(code, STATUSES[code][0]) for code in (*codes, *AUTH, *COMMON)}
    return dict.fromkeys(sorted(statuses), OpenAIError)


CHUNKS = """\
data: {"id": "chatcmpl-...", "object": "chat.completion.chunk", "choices": [{"delta": {"role": "assistant", ...}}], ...}

data: {"id": "chatcmpl-...", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Paris"}, ...}], ...}

: ping

data: {"id": "chatcmpl-...", "object": "chat.completion.chunk", "choices": [{"finish_reason": "stop", ...}], ...}

data: [DONE]
"""
FAILED = """\
data: {"id": "chatcmpl-...", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Pa"}, ...}], ...}

data: {"error": {"message": "...", "type": "server_error", "param": null, "code": "unreachable", ...}}

data: [DONE]
"""


def sse() -> dict[str, Any]:
    """The `openapi_extra` of the endpoint that can stream."""
    streams = {
        "completed": {"summary": "A turn that completes", "value": CHUNKS},
        "failed": {"summary": "One that fails in the middle", "value": FAILED},
    }
    content = {"text/event-stream": {"schema": {"type": "string"}, "examples": streams}}
    return {"responses": {200: {"content": content}}}
