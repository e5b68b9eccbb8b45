"""An answer's bytes into deltas, and the verdict on it at its end. No input or output happens here."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from providers import errors
from providers.base import Delta
from providers.reasoning import Reasoning
from providers.registry import Provider
from providers.sse import LONGEST_EVENT, ErrorData, EventTooLong, SSEDecoder
from providers.strings import clean, string
from providers.tool_calls import ToolCalls
from providers.translation import translate_payload
from providers.usage import usage_of

LONGEST_ANSWER = 8_000_000
"""Characters of text, reasoning and tool arguments. No model says as much: it is broken, or wants our memory."""

FINISH_REASONS = {
    "stop": ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete"),
    "length": ("length", "model_length", "max_tokens", "model_context_window_exceeded"),
    "tool_calls": ("tool_calls", "tool_call", "tool_use", "function_call"),
    "content_filter": (
        *("content_filter", "refusal", "guardrail_intervened", "content_filtered", "sensitive"),
        *("safety", "recitation", "blocklist", "prohibited_content", "spii"),
        *("image_safety", "image_prohibited_content", "image_recitation"),
    ),
}
"""OpenAI's finish reasons and what others call them: Together, TGI, Anthropic and Bedrock, Cohere, Mistral, Zhipu, and
Gemini, whose compatible endpoint lets its own through.
"""
KNOWN = {other: reason for reason, others in FINISH_REASONS.items() for other in others}
FAILED = {"error", "insufficient_system_resource", "network_error", "abort"}
"""Finish reasons that are failures: OpenRouter's and Mistral's, DeepSeek's, Zhipu's, vLLM's."""
BROKEN_OFF = {
    *("other", "language", "malformed_function_call", "malformed_response"),
    *("unexpected_tool_call", "too_many_tool_calls"),
}
"""Gemini's, of an answer that is none or half of one.

One that nobody knows is taken for an end, and stored: a server of another make must not fail with every answer.
"""
NONE = {"null", "none", "finish_reason_unspecified"}
"""What is no finish reason, though it stands in its place."""


class AnswerDecoder:
    """Feed it the body of a 200 as it comes; `close` at the end says what is wrong with the whole, if anything.

    The body is an event stream or, from a server that ignores `stream`, one JSON document. Its first byte tells,
    and not the content type, which proxies get wrong. Everything that it raises is a ProviderError.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.request_id: str | None = None
        """The provider's; goes on the errors."""
        self.finish_reason: str | None = None
        self.done = False
        """Whether the provider has said that nothing more comes."""
        self._events = SSEDecoder()
        self._document: bytearray | None = None
        self._begun = False
        self._calls = ToolCalls()
        self._reasoning = Reasoning() if provider.wants_reasoning else None
        self._said = 0
        """Characters."""
        self._answered = False
        """Whether there was a text or a tool call; reasoning alone is no answer."""

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        if not self._begun:
            chunk = self._begin(chunk)
        if self._document is not None:
            self._document += chunk
            if len(self._document) > LONGEST_EVENT:
                raise self._malformed("a document without end")
            return
        try:
            events = self._events.feed(chunk)
        except EventTooLong:
            raise self._malformed("an event without end") from None
        yield from self._deltas(events)

    def close(self) -> Iterator[Delta]:
        """The rest, once the body has ended. Raises MalformedAnswer, ContentFiltered or EmptyAnswer by the verdict."""
        if self._document is not None:
            yield from self._deltas([bytes(self._document)])
        elif not self.done:
            yield from self._deltas(self._events.close())
        if not self._begun:
            raise self._malformed("an empty body")
        if self.finish_reason is None:
            raise self._malformed("the stream ended before the answer did")
        if self.finish_reason in BROKEN_OFF:
            raise self._malformed(f"finish reason {self.finish_reason}")
        if self.finish_reason == "content_filter":
            raise self._error(errors.ContentFiltered, "finish reason")
        if self._calls.nameless and self.finish_reason != "length":
            raise self._malformed("a tool call without a name")
        if not self._answered and self.finish_reason != "length":
            raise self._error(errors.EmptyAnswer, "a finish reason without text")

    def _begin(self, chunk: bytes) -> bytes:
        """The chunk without white space and byte order mark at the body's beginning."""
        chunk = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")
        self._begun = bool(chunk)
        if chunk.startswith((b"{", b"[")):
            self._document = bytearray()
        elif chunk.startswith(b"<"):
            raise self._malformed("a web page")
        return chunk

    def _deltas(self, events: list[bytes]) -> Iterator[Delta]:
        for data in events:
            if data.startswith(b"[DONE]"):
                self.done = True
                return
            if data:
                yield self._decode(data)
            if self.finish_reason in FAILED:
                raise self._translated(self.finish_reason)

    def _decode(self, data: bytes) -> Delta:
        """Runs for every token, so that it looks for what is rare only where that can be."""
        try:
            payload = _parsed(data)
            if isinstance(payload, list):
                payload = payload[0]
            choices = payload.get("choices")
            choice = choices[0] if choices else {}
            if (
                error := payload.get("error")
                or choice.get("error")
                or (None if choices else _bare_error(data, payload))
            ):
                raise self._translated(error)
            message = choice.get("delta") or choice.get("message") or {}
            content, pieces = message.get("content"), message.get("tool_calls")
            reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
            if isinstance(content, list):
                content, reasoning = _parts(content)
            refusal = None if content else message.get("refusal")
            text = clean(content or refusal or "")
            reasoning = clean(reasoning) if isinstance(reasoning, str) else ""
            calls = self._calls.read(pieces) if pieces else ()
            if self._reasoning is not None:
                if reasoning:
                    self._reasoning.add(reasoning)
                calls = self._reasoning.beside(calls)
            finish_reason = _finish_reason(ended) if (ended := choice.get("finish_reason")) else None
            usage = usage_of(payload, choice) if finish_reason or not choices or payload.get("usage") else None
            model = string(payload.get("model"))
        except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as exc:
            if isinstance(data, ErrorData):
                raise self._translated(data.decode("utf-8", "replace")) from None
            raise self._malformed(type(exc).__name__) from None
        if finish_reason:
            self.finish_reason = finish_reason
        self._answered = self._answered or bool(text or calls)
        self._count(len(text) + len(reasoning))
        for call in calls:
            self._count(len(call.id) + len(call.name) + len(call.arguments))
        return Delta(text, finish_reason, usage, model, reasoning, calls, refused=bool(refusal))

    def _count(self, characters: int) -> None:
        self._said += characters
        if self._said > LONGEST_ANSWER:
            raise self._malformed("an answer without end")

    def _malformed(self, cause: str) -> errors.ProviderError:
        return self._error(errors.MalformedAnswer, cause)

    def _error(self, kind: type[errors.ProviderError], cause: str) -> errors.ProviderError:
        return kind(provider=self.provider.label, cause=cause, provider_request_id=self.request_id)

    def _translated(self, payload: Any) -> errors.ProviderError:
        error = translate_payload(payload, self.provider)
        error.provider_request_id = self.request_id
        return error


def _parsed(data: bytes) -> Any:
    """By pydantic's parser, which takes a third of the time; what it refuses, such as bytes that are no UTF-8 and half
    characters, by Python's, which is more lenient. Raises ValueError or RecursionError.
    """
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data.decode("utf-8", "replace"))


def _bare_error(data: bytes, payload: dict[str, Any]) -> Any:
    """An error without the usual wrapping: vLLM's, Groq's, or the data of an event named `error`."""
    if isinstance(data, ErrorData) or payload.get("object") == "error" or payload.get("type") == "error":
        return payload
    return (payload.get("x_groq") or {}).get("error")


def _parts(content: list[dict[str, Any]]) -> tuple[str, str]:
    """(text, reasoning) of Mistral's form: [{"type": "thinking", "thinking": [text parts]}, {"type": "text", ...}]."""
    text, reasoning = "", ""
    for part in content:
        if part.get("type") == "thinking":
            thought = part.get("thinking") or ""
            reasoning += thought if isinstance(thought, str) else _parts(thought)[0]
        elif isinstance(part.get("text"), str):
            text += part["text"]
    return text, reasoning


def _finish_reason(value: object) -> str | None:
    """In OpenAI's words where it has any. Gemini has pairs as well: "function_call_filter: MALFORMED_FUNCTION_CALL"."""
    if not isinstance(value, str):
        return None
    words = [word.strip().lower() for word in clean(value).split(":")]
    for word in words:
        if word in KNOWN:
            return KNOWN[word]
    return None if words[-1] in NONE else words[-1] or None
