"""A bound on what is read of an error, of which the SDK reads all there is."""

from collections.abc import AsyncIterator

import httpx2

LONGEST_ERROR = 64_000
"""Bytes. The rest of a longer error is not read; its status tells enough."""


async def bound_error(response: httpx2.Response) -> None:
    """An event hook of the client."""
    if not response.is_success and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            yield chunk
            size += len(chunk)
            if size > LONGEST_ERROR:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()
