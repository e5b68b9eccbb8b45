"""The adapter for every provider, since all of them speak OpenAI's chat completions protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import httpx2
import openai

from providers import errors
from providers.base import ChatRequest, Delta
from providers.bounded import bound_error
from providers.call_ids import shortened
from providers.decoder import AnswerDecoder
from providers.reasoning import given_back
from providers.registry import Provider
from providers.translation import translate

LONGEST_END = 0.05
"""Seconds between the last event of an answer and the end of its body."""


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
                event_hooks={"response": [bound_error]},
            ),
        )
        # Both at start-up: the SDK builds its resources on first use, which costs most of a second, and finds out
        # about the platform by running `uname`.
        self._client.platform_headers()
        self._create = self._client.chat.completions.with_streaming_response.create
        self._models = self._client.models

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """See ChatProvider.stream."""
        answer = AnswerDecoder(self.provider)
        try:
            async with self._create(**self._parameters(request)) as response, aclosing(response.iter_bytes()) as chunks:
                answer.request_id = response.headers.get(self.provider.request_id_header)
                async for chunk in chunks:
                    for delta in answer.feed(chunk):
                        yield delta
                    if answer.done:
                        await _read_out(chunks)
                        break
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError) as exc:
            if answer.finish_reason is None:  # else it is whole, however its connection ended
                error = translate(exc, self.provider)
                error.provider_request_id = error.provider_request_id or answer.request_id
                # `from None`: an SDK's message repeats the provider's, which may hold the prompt or the key.
                raise error from None
        for delta in answer.close():
            yield delta

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
        messages: list[Any] = shortened(request.messages) if self.provider.short_call_ids else request.messages
        if self.provider.wants_reasoning:
            messages = given_back(messages)
        parameters: dict[str, Any] = {"model": request.model, "messages": messages, "stream": True}
        if self.provider.stream_usage:
            parameters["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            parameters["temperature"] = request.temperature
        if request.max_tokens is not None:
            parameters[self.provider.max_tokens_field] = request.max_tokens
        if request.extra:
            parameters["extra_body"] = dict(request.extra)
        return parameters


async def _read_out(chunks: AsyncIterator[bytes]) -> None:
    """Reads to the end of a body whose answer is complete, unless that takes time: then the connection, and with it
    the TLS handshake, serves the next turn too.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_END):
            async for _ in chunks:
                pass
