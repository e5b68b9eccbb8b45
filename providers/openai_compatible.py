"""The adapter for every provider, since all of them speak OpenAI's chat completions protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from pydantic_core import to_json

from providers import bodies, errors
from providers.base import ChatRequest, Delta
from providers.call_ids import shortened
from providers.decoder import AnswerDecoder
from providers.http import Connections
from providers.reasoning import given_back
from providers.registry import Provider
from providers.translation import translate, translate_refusal

LONGEST_END = 0.05
"""Seconds between the last event of an answer and the end of its body."""

LONGEST_ERROR = 64_000
"""Bytes. The rest of a longer error is not read; its status tells enough."""

LONGEST_LIST = 16_000_000
"""Bytes of a list of models."""

FAILURES = (aiohttp.ClientError, OSError)


class OpenAICompatible:
    """A ChatProvider. Retries and all time but the connection's are its caller's."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._connections = Connections(provider)
        self._completions = self._connections.url("/chat/completions")
        self._models = self._connections.url("/models")

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """See ChatProvider.stream."""
        answer = AnswerDecoder(self.provider)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._connections.post(self._completions, to_json(self._parameters(request)))
            await self._check(response)
            answer.request_id = response.headers.get(self.provider.request_id_header)
            while not answer.done and (chunk := await response.content.readany()):
                for delta in answer.feed(chunk):
                    yield delta
            if answer.done:
                await _read_out(response.content)
        except FAILURES as exc:
            if answer.finish_reason is None:  # else it is whole, however its connection ended
                error = translate(exc, self.provider)
                error.provider_request_id = answer.request_id
                # `from None`: its message may have the prompt or the key.
                raise error from None
        finally:
            if response is not None:
                response.close()  # one whose body has ended has given its connection back
        for delta in answer.close():
            yield delta

    async def list_models(self) -> list[str]:
        """The ids of the models that the provider offers now. Raises a ProviderError."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(self.provider.timeouts.first_token):
                response = await self._connections.get(self._models)
                await self._check(response)
                page = json.loads(await bodies.read(response.content, LONGEST_LIST))
            return [str(model["id"]) for model in page["data"] or []]
        except FAILURES as exc:
            raise translate(exc, self.provider) from None
        except (LookupError, TypeError, ValueError):
            raise errors.MalformedAnswer(provider=self.provider.label) from None
        finally:
            if response is not None:
                response.close()

    async def close(self) -> None:
        """Ends its connections."""
        await self._connections.close()

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raises a ProviderError unless the status is a success."""
        if not 200 <= response.status < 300:
            body = await bodies.read(response.content, LONGEST_ERROR)
            raise translate_refusal(response.status, response.headers, body, self.provider)

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
        return parameters | dict(request.extra)


async def _read_out(content: aiohttp.StreamReader) -> None:
    """Reads to the end of a body whose answer is complete, unless that takes time: then the connection, and with it
    the TLS handshake, serves the next turn too.
    """
    if content.is_eof():
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_END):
            while await content.readany():
                pass
