"""Work that goes on when whoever waits for it leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from chatproject.observability import context
from conversations.live import registry

T = TypeVar("T")


async def outlive(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, which a cancelled caller leaves behind. It has a transaction of its own: the request's may end."""
    return await left_running(_alone(work))


async def left_running(work: Coroutine[Any, Any, T]) -> T:
    """The same within the request's transaction, and without one when that has ended."""
    task = asyncio.create_task(work)
    registry.tend(task)
    return await asyncio.shield(task)


async def _alone(work: Coroutine[Any, Any, T]) -> T:
    with context.own_transaction("chat.turn"):
        return await work
