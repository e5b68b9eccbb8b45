"""The gen_ai span of one attempt at a provider: Sentry's AI views are made of these.

It is entered and left by hand, not with `with`: a cancellation is an outcome here, not an error.
Attribute names: https://docs.sentry.io/platforms/python/tracing/instrumentation/custom-instrumentation/ai-agents-module/
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sentry_sdk


class GenAISpan:
    """Open from construction until `finish`; the active span of its task meanwhile."""

    def __init__(self, *, provider: str, model: str, conversation_id: str, streaming: bool) -> None:
        self._span = sentry_sdk.start_span(op="gen_ai.chat", name=f"chat {model}")
        self._span.__enter__()
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
        for key, value in values.items():
            if value is not None:
                self._span.set_data(key, value)

    def messages(self, asked: Sequence[Mapping[str, Any]], answer: str) -> None:
        """Attaches the message text. Only called when SENTRY_INCLUDE_PROMPTS says so."""
        self.set({"gen_ai.input.messages": _parts(asked)})
        self.set({"gen_ai.output.messages": _parts([{"role": "assistant", "content": answer}])})

    def finish(self, *, outcome: str, failed: bool) -> None:
        self.set({"chat.outcome": outcome})
        self._span.set_status("internal_error" if failed else "ok")
        self._span.__exit__(None, None, None)


def _parts(messages: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(
        [{"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]} for m in messages],
        ensure_ascii=False,
    )
