"""Keeping the result of a request with an Idempotency-Key, also of one that is streamed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatproject import db
from chatproject.db import AWAY
from conversations import idempotent
from conversations.idempotent import Claim
from conversations.live import registry
from conversations.outbox import PING_SECONDS, Outbox

LARGEST = 1_000_000
"""Bytes of a result that are kept. A larger one is told anew from its message, or is not told again."""

UNKEPT = {"retry-after", "x-request-id", "x-trace-id", "content-length"}
"""Headers that are not part of the result."""


async def keep(claim: Claim, response: HttpResponseBase, body: bytes) -> None:
    """Keeps it, now or when the database is back. One that cannot be kept is kept without body and headers."""
    headers = {name: value for name, value in response.items() if name.lower() not in UNKEPT}
    try:
        text = body.decode()
        if len(body) > LARGEST or "\x00" in text:
            headers, text = {}, ""
    except UnicodeDecodeError:
        headers, text = {}, ""

    async def save() -> None:
        await db.run(idempotent.keep, claim.pk, response.status_code, headers, text)

    try:
        await save()
    except AWAY:
        registry.owe(save)


class KeptBody(StreamingHttpResponse):
    """A stream that is read to its end, whether its reader stays or not, and kept."""

    def __init__(self, response: Any, claim: Claim) -> None:
        super().__init__(status=response.status_code, headers=dict(response.items()))
        self.on_end: Callable[[], None] = lambda: None
        self._outbox = Outbox()
        self._read = True
        registry.tend(asyncio.create_task(self._drain(response, claim)))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (data := await self._outbox.take(PING_SECONDS)) is not None:
                yield data
        finally:
            self._read = False
            self.on_end()

    async def _drain(self, response: Any, claim: Claim) -> None:
        pieces, size = [], 0
        try:
            async with aclosing(aiter(response)) as stream:
                async for piece in stream:
                    size += len(piece)
                    if size <= LARGEST:
                        pieces.append(piece)
                    if self._read:
                        self._outbox.put(piece)
            await keep(claim, response, b"".join(pieces) if size <= LARGEST else bytes(LARGEST + 1))
        finally:
            self._outbox.close()
            registry.requests.discard(claim.pk)
