"""gunicorn's HTTP connections, closed when nobody needs them any more.

gunicorn waits for a connection's first request for ever, since its `keepalive` counts only between requests: who opens
thousands and sends a byte now and then would have them all. And it keeps the idle ones while it shuts down, to which
a proxy would go on sending turns that are refused.
"""

import asyncio
import select
import socket
from typing import Any
from weakref import WeakSet

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi


class Impatient(ASGIProtocol):  # type: ignore[misc]
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm_keepalive_timer()  # gunicorn disarms it when the headers are complete
        _made.add(self)

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
_accepting: set[asyncio.Task[Any]] = set()


def install() -> None:
    """For the connections of this worker; to be called before it listens."""
    gasgi.ASGIProtocol = Impatient


def stop_listening(worker: Any) -> None:
    """Closes the listeners of a gunicorn worker, after taking what waits there: that would be reset with them."""
    for listener in worker.sockets:
        while (accepted := _accept(listener.sock)) is not None:
            task = worker.loop.create_task(worker.loop.connect_accepted_socket(lambda: Impatient(worker), accepted))
            _accepting.add(task)
            task.add_done_callback(_accepting.discard)
    for server in worker.servers:
        server.close()


def _accept(listener: socket.socket) -> socket.socket | None:
    """The next connection; None when there is none, or the listener does not listen any more."""
    try:
        accepted, _ = listener.accept()
    except OSError:
        return None
    accepted.setblocking(False)
    return accepted


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
