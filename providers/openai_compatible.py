"""The adapter for every provider, since all of them speak OpenAI's chat completions protocol."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai

from providers import errors
from providers.base import ChatRequest, Delta, Usage
from providers.registry import Provider
from providers.sse import EventTooLong, SSEDecoder
from providers.translation import translate, translate_payload

MAX_COUNT = 2**31 - 1


class OpenAICompatible:
    """A ChatProvider over `openai.AsyncOpenAI`, used for its wire alone: retries and parsing are ours."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        connect = provider.timeouts.connect
        self._client = openai.AsyncOpenAI(
            api_key=provider.api_key or "none",
            base_url=provider.base_url,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=httpx2.Timeout(None, connect=connect, pool=connect),  # whoever reads the stream keeps the time
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30),
                follow_redirects=False,  # a redirect could carry the prompt to another host
            ),
        )
        # Both at start-up: the SDK builds its resources on first use, which costs most of a second, and finds out
        # about the platform by running `uname`.
        self._client.platform_headers()
        self._create = self._client.chat.completions.with_streaming_response.create
        self._models = self._client.models

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """See ChatProvider.stream."""
        try:
            async with self._create(**self._parameters(request)) as response:
                async for delta in self._deltas(response):
                    yield delta
        except EventTooLong:
            raise errors.MalformedAnswer(provider=self.provider.label, cause="an event without end") from None
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError) as exc:
            # `from None`: an SDK's message repeats the provider's, which may hold the prompt or the key.
            raise translate(exc, self.provider) from None

    async def list_models(self) -> list[str]:
        """The ids of the models that the provider offers now. Raises a ProviderError."""
        try:
            page = await self._models.list(timeout=self.provider.timeouts.first_token)
            return [model.id for model in page.data or []]
        except (openai.OpenAIError, httpx2.HTTPError) as exc:
            raise translate(exc, self.provider) from None
        except (AttributeError, TypeError, ValueError):
            raise errors.MalformedAnswer(provider=self.provider.label) from None

    def _parameters(self, request: ChatRequest) -> dict[str, Any]:
        parameters: dict[str, Any] = {"model": request.model, "messages": request.messages, "stream": True}
        if self.provider.stream_usage:
            parameters["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            parameters["temperature"] = request.temperature
        if request.max_tokens is not None:
            parameters[self.provider.max_tokens_field] = request.max_tokens
        if request.extra:
            parameters["extra_body"] = dict(request.extra)
        return parameters

    async def _deltas(self, response: openai.AsyncAPIResponse[Any]) -> AsyncIterator[Delta]:
        finished = False
        async for data in _events(response):
            if data == b"[DONE]":
                return
            delta = self._decode(data)
            finished = finished or delta.finish_reason is not None
            yield delta
        if not finished:
            raise errors.MalformedAnswer(provider=self.provider.label, cause="the stream ended before the answer did")

    def _decode(self, data: bytes) -> Delta:
        try:
            payload = json.loads(data)
            if error := payload.get("error"):
                raise translate_payload(error, self.provider)
            choices = payload.get("choices") or [{}]
            usage = payload.get("usage")
            return Delta(
                text=_clean((choices[0].get("delta") or {}).get("content") or ""),
                finish_reason=_string(choices[0].get("finish_reason")),
                usage=_usage(usage) if usage else None,
                model=_string(payload.get("model")),
            )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as exc:
            raise errors.MalformedAnswer(provider=self.provider.label, cause=type(exc).__name__) from None


async def _events(response: openai.AsyncAPIResponse[Any]) -> AsyncIterator[bytes]:
    decoder = SSEDecoder()
    async for chunk in response.iter_bytes():
        for data in decoder.feed(chunk):
            yield data
    for data in decoder.close():
        yield data


def _clean(text: str) -> str:
    """Text that every database and every encoder takes: no NUL, no half of a surrogate pair."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\x00", "") if "\x00" in text else text


def _string(value: object) -> str | None:
    return _clean(value) if isinstance(value, str) else None


def _usage(reported: dict[str, Any]) -> Usage:
    prompt, completion = _count(reported.get("prompt_tokens")), _count(reported.get("completion_tokens"))
    return Usage(prompt, completion, _count(reported.get("total_tokens")) or min(prompt + completion, MAX_COUNT))


def _count(value: object) -> int:
    """A token count that the database can hold, whatever the provider claims."""
    return max(0, min(value, MAX_COUNT)) if isinstance(value, int) else 0
