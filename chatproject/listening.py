"""How the workers of this server share the connections that arrive.

They listen at one socket, and uvloop's own server takes all that waits there when it is woken: of 32 connections one
of two workers may get 28, and be at its limit while the other has nothing to do. Here a worker that has more than
another leaves to that one what arrives, for a moment.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from chatproject.load import load

logger = logging.getLogger(__name__)

LOOK = 0.001
"""Seconds between two looks of a worker that has more than another."""

LOOKS = 5
"""After so many it takes some nevertheless: the other one is busy, or stuck."""

SOME = 8
"""Connections."""

FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
RELIEF = 1.0
"""Seconds until a worker that can have no more connections looks again, as asyncio's own server does."""

GONE = (OSError, asyncio.CancelledError)
"""How a connection ends that does not come to be: its client has left, or TLS was not agreed on."""


class Listener:
    """In the place of the server that `loop.create_server` makes, as far as gunicorn uses it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.Protocol],
        sock: socket.socket,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        sock.setblocking(False)
        self._loop, self._factory, self._sock, self._tls = loop, factory, sock, tls
        self._opening: set[asyncio.Task[Any]] = set()
        self._looks = 0
        self._later: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        load.listen()
        self._wait()

    def take_all(self) -> None:
        """Takes what waits: with the last worker's socket it would be reset."""
        while not self._closed and (accepted := self._accept()) is not None:
            self._open(accepted)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        load.listen_no_more()
        self._pause()
        self._sock.close()

    async def wait_closed(self) -> None:
        """Of the connections that have come to be gunicorn itself takes care."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _wait(self) -> None:
        self._looks, self._later = 0, None
        self._loop.add_reader(self._sock.fileno(), self._look)

    def _again(self, seconds: float, call: Callable[[], None]) -> None:
        self._pause()
        self._later = self._loop.call_later(seconds, call)

    def _pause(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        if self._later is not None:
            self._later.cancel()

    def _look(self) -> None:
        """Takes this worker's share of what waits; when it has had it, what the others leave."""
        room = load.room
        if room <= 0 and self._looks < LOOKS:
            self._looks += 1
            self._again(LOOK, self._look)
            return
        if self._looks:
            self._wait()
        for _ in range(room if room > 0 else SOME):
            if (accepted := self._accept()) is None:
                break
            self._open(accepted)

    def _accept(self) -> socket.socket | None:
        """The next connection; None when there is none, or no room for it, or the socket does not listen any more."""
        try:
            accepted, _ = self._sock.accept()
        except OSError as error:
            if error.errno in FULL and not self._closed:
                logger.error("no connection can be accepted: %s", error.strerror)
                self._again(RELIEF, self._wait)
            return None
        accepted.setblocking(False)
        return accepted

    def _open(self, accepted: socket.socket) -> None:
        load.connected()
        opening = self._loop.connect_accepted_socket(self._factory, accepted, ssl=self._tls)
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[Any]") -> None:
        self._opening.discard(task)
        try:
            task.result()
        except GONE as error:
            load.disconnected()
            logger.debug("a connection did not come to be: %s", type(error).__name__)
