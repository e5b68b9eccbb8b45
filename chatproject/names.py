"""How the event loop looks up names: in threads that nobody waits for when the worker ends.

A name server that does not answer takes 5 to 30 seconds. uvloop does not close before it has, and Python does not end
before asyncio's own threads have: a worker that was looking up its provider or Sentry was killed for being late.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import Any


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Has the loop, and all that looks up names with it, do so here."""
    loop.set_default_executor(Unawaited())
    loop.getaddrinfo = partial(getaddrinfo, loop)  # type: ignore[method-assign]


async def getaddrinfo(loop: asyncio.AbstractEventLoop, host: Any, port: Any, **options: int) -> list[Any]:
    """As the loop's own: socket.getaddrinfo, with the same options. Raises an OSError."""
    return await loop.run_in_executor(None, partial(socket.getaddrinfo, host, port, **options))


class Unawaited(ThreadPoolExecutor):
    """A loop's default executor, of which it wants this class. Each call has a thread that nobody waits for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        Thread(target=carry_out, args=(future, partial(fn, *args, **kwargs)), name="unawaited", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to end."""


def carry_out(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # its caller's, who waits for it
        future.set_exception(error)
