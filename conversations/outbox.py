"""What goes out on an open stream: put in by the turn, taken out by its reader, who gets all that is ready at once."""

import asyncio

PING_SECONDS = 15.0
"""The longest silence on an open stream: proxies close quieter ones."""


class Outbox:
    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._closed = False
        self._ready: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        self._data.append(data)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def take(self, seconds: float) -> bytes | None:
        """What has come; empty after `seconds` of silence, None at the end."""
        if not self._data and not self._closed:
            loop = asyncio.get_running_loop()
            self._ready = loop.create_future()
            alarm = loop.call_later(seconds, self._wake)
            try:
                await self._ready
            finally:
                alarm.cancel()
                self._ready = None
        if self._closed and not self._data:
            return None
        return self.taken()

    def taken(self) -> bytes:
        """What is there now."""
        data, self._data = self._data, []
        return b"".join(data)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
