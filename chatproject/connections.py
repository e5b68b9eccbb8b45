"""gunicorn's HTTP connections, closed when their first request does not come: it waits for that one for ever, since its
`keepalive` counts only between requests. Who opens thousands and sends a byte now and then would have them all.
"""

import asyncio

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi


class Impatient(ASGIProtocol):  # type: ignore[misc]
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm_keepalive_timer()  # gunicorn disarms it when the headers are complete


def install() -> None:
    """For the connections of this worker; to be called before it listens."""
    gasgi.ASGIProtocol = Impatient
