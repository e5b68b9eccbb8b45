"""What a provider's side is tried with: something that holds connections, in an event loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar


class Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


def run(of: C, use: Callable[[C], Awaitable[T]]) -> T:
    """What `use` makes of it, within 20 seconds; closed afterwards."""

    async def scene() -> T:
        try:
            async with asyncio.timeout(20):
                return await use(of)
        finally:
            await of.close()

    return asyncio.run(scene())
