"""gunicorn's HTTP connections: shared evenly by the workers, and closed when nobody needs them any more.

gunicorn waits for a connection's first request for ever, since its `keepalive` counts only between requests: who opens
thousands and sends a byte now and then would have them all. And it keeps the idle ones while it shuts down, to which
a proxy would go on sending turns that are refused.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

from chatproject.listening import Listener
from chatproject.load import load


class Impatient(ASGIProtocol):  # type: ignore[misc]
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm_keepalive_timer()  # gunicorn disarms it when the headers are complete
        _made.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        load.disconnected()

    @property
    def idle(self) -> bool:
        """Whether it waits for a request: then the timer runs."""
        return self._keepalive_handle is not None and not self._closed

    @property
    def fileno(self) -> int:
        return int(self.transport.get_extra_info("socket").fileno())

    def close(self) -> None:
        self._keepalive_timeout()


_made: WeakSet[Impatient] = WeakSet()


def install(worker: Any) -> None:
    """For the connections of this gunicorn worker; to be called before it listens."""
    gasgi.ASGIProtocol = Impatient
    worker.loop.create_server = _create_server  # gunicorn has no hook for what listens


async def _create_server(
    factory: Callable[[], asyncio.Protocol], *, sock: socket.socket, ssl: ssl.SSLContext | None, **_: Any
) -> Listener:
    listener = Listener(asyncio.get_running_loop(), factory, sock, ssl)
    listener.start()
    return listener


def stop_listening(worker: Any) -> None:
    """Closes the listeners of a gunicorn worker, which goes on with what it has, and with what waits to be accepted."""
    for server in worker.servers:
        server.take_all()
        server.close()


def close_idle() -> None:
    """Closes this worker's connections that wait for a request, but for those where one has just arrived."""
    idle = {connection.fileno: connection for connection in list(_made) if connection.idle}
    arrived = select.poll()
    for fileno in idle:
        arrived.register(fileno, select.POLLIN)
    for fileno, _ in arrived.poll(0):
        del idle[fileno]
    for connection in idle.values():
        connection.close()
