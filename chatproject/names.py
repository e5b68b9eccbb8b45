"""How the event loop looks up names: each in a thread that nobody waits for when the worker ends.

A name server that does not answer takes 5 to 30 seconds. uvloop does not close before it has, nor does Python end
before asyncio's own threads have: a worker that was looking up its provider or Sentry was killed for being late.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Has all that looks up names with the loop do so here."""
    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]


async def getaddrinfo(host: Any, port: Any, **options: int) -> list[Any]:
    """As a loop's own: socket.getaddrinfo, with the same options. Raises an OSError."""
    found: Future[list[Any]] = Future()
    call = partial(socket.getaddrinfo, host, port, **options)
    Thread(target=carry_out, args=(found, call), name="names", daemon=True).start()
    return await asyncio.wrap_future(found)


def carry_out(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # its caller's, who waits for it
        future.set_exception(error)
