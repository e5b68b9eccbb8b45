"""The gen_ai span of one attempt at a provider: Sentry's AI views are made of these.

It is entered and left by hand, not with `with`: a cancellation is an outcome here, not an error.
Like context.py, it never raises. Attribute names: https://docs.sentry.io/platforms/python/tracing/instrumentation/custom-instrumentation/ai-agents-module/
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Span
from sentry_sdk.utils import capture_internal_exceptions


class GenAISpan:
    """Open from construction until `finish`; the active span of its task meanwhile. Nothing in an untraced request."""

    span: Span | None
    """None in an untraced request."""

    def __init__(self, *, provider: str, model: str, conversation_id: str | None, streaming: bool) -> None:
        self.span = None
        with capture_internal_exceptions():
            parent = sentry_sdk.get_current_span()
            if parent is None or not parent.sampled:
                return
            self.span = parent.start_child(op="gen_ai.chat", name=f"chat {model}")
            self.span.__enter__()
        self.set(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.streaming": streaming,
                "gen_ai.conversation.id": conversation_id,
                "provider": provider,
                "conversation_id": conversation_id,
            }
        )

    def set(self, values: dict[str, Any]) -> None:
        """Sets each attribute whose value is known."""
        if self.span is None:
            return
        with capture_internal_exceptions():
            for key, value in values.items():
                if value is not None:
                    self.span.set_data(key, value)

    def messages(
        self,
        asked: Sequence[Mapping[str, Any]],
        answer: str,
        tool_calls: Sequence[Mapping[str, Any]],
        finish_reason: str,
    ) -> None:
        """Attaches the message text. Only called when SENTRY_INCLUDE_PROMPTS says so."""
        if self.span is None:
            return
        with capture_internal_exceptions():
            answered = _parts({"role": "assistant", "content": answer, "tool_calls": tool_calls})
            if finish_reason:
                answered["finish_reason"] = finish_reason
            system = [{"type": "text", "content": m["content"]} for m in asked if m["role"] == "system"]
            self.set(
                {
                    # As the SDK's integrations have it: what is the system's is no message among the others.
                    "gen_ai.system_instructions": _json(system) if system else None,
                    "gen_ai.input.messages": _json([_parts(m) for m in asked if m["role"] != "system"]),
                    "gen_ai.output.messages": _json([answered]),
                }
            )

    def finish(self, *, outcome: str, failed: bool) -> None:
        if self.span is None:
            return
        self.set({"chat.outcome": outcome})
        with capture_internal_exceptions():
            self.span.set_status("internal_error" if failed else "ok")
            self.span.__exit__(None, None, None)


def _parts(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of OpenAI's protocol in OpenTelemetry's form, with its images left out.

    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages.json
    """
    content = message["content"]
    if "tool_call_id" in message:
        parts = [{"type": "tool_call_response", "id": message["tool_call_id"], "result": content}]
    elif isinstance(content, list):
        parts = [_text(part.get("text", "[image]")) for part in content]
    else:
        parts = [_text(content)] if content or not message.get("tool_calls") else []
    for call in message.get("tool_calls") or ():
        parts.append({"type": "tool_call", "id": call["id"], **call["function"]})
    return {"role": message["role"], "parts": parts}


def _text(text: str | None) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
