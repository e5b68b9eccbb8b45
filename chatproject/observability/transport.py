"""The SDK's transport, but that a worker's event loop sends the transactions, one of which there is for each request.

The SDK's thread takes longer for one than the loop does, since each of its system calls gives the interpreter's lock
away and then waits for it. And it sends one at a time: to a Sentry 100 ms away, ten a second. What else there is,
errors above all, goes the SDK's way.
"""

import asyncio
import gzip
import sys
import time
from io import BytesIO
from typing import Any, NamedTuple

import sentry_sdk
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport
from sentry_sdk.utils import capture_internal_exception

from chatproject.observability.posting import Poster
from chatproject.observability.serializer import encode

SENDERS = 8
"""Envelopes under way at once."""


class Sending(NamedTuple):
    """What sends in a worker's loop."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Envelope]
    tasks: list[asyncio.Task[None]]

    @property
    def runs_here(self) -> bool:
        """Whether the caller is in that loop."""
        return asyncio._get_running_loop() is self.loop


class LoopTransport(HttpTransport):
    """The SDK's own until `attach`, which a worker calls in its loop, and again after `detach`."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._sending: Sending | None = None

    def attach(self) -> None:
        """From now on the running loop sends. What goes through a proxy is left to the SDK."""
        if self._resolve_proxy():
            return
        loop = asyncio.get_running_loop()
        queue = asyncio.Queue[Envelope](self.options["transport_queue_size"])
        url, tls = self._auth.get_api_url(EndpointType.ENVELOPE), self._get_httpcore_pool_options()["ssl_context"]
        posters = [Poster(url, tls, self.TIMEOUT) for _ in range(SENDERS)]
        tasks = [loop.create_task(self._send_all(queue, poster)) for poster in posters]
        self._sending = Sending(loop, queue, tasks)

    async def detach(self) -> None:
        """What is not sent yet is given to the SDK's thread; after a SIGINT the end of the process waits for that."""
        sending, self._sending = self._sending, None
        if sending is None:
            return
        for task in sending.tasks:
            task.cancel()
        await asyncio.gather(*sending.tasks, return_exceptions=True)
        while not sending.queue.empty():
            super().capture_envelope(sending.queue.get_nowait())

    def capture_envelope(self, envelope: Envelope) -> None:
        sending = self._sending
        if sending is None or not any(item.type == "transaction" for item in envelope.items):
            super().capture_envelope(envelope)
        elif sending.runs_here:
            self._enqueue(envelope)
        else:
            sending.loop.call_soon_threadsafe(self._enqueue, envelope)

    def flush(self, timeout: float, callback: Any = None) -> None:
        """Waits for the loop, unless it is the loop that asks, and for the SDK's thread."""
        sending = self._sending
        deadline = time.monotonic() + timeout
        if sending is None or not sending.loop.is_running() or sending.runs_here:
            super().flush(timeout, callback)
            return
        waiting = asyncio.run_coroutine_threadsafe(sending.queue.join(), sending.loop)
        super().flush(timeout, callback)
        try:
            waiting.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            waiting.cancel()

    def _is_worker_full(self) -> bool:
        return super()._is_worker_full() or (self._sending is not None and self._sending.queue.full())

    def _enqueue(self, envelope: Envelope) -> None:
        if self._sending is None:
            super().capture_envelope(envelope)
            return
        try:
            self._sending.queue.put_nowait(envelope)
        except asyncio.QueueFull:
            self.on_dropped_event("full_queue")
            for item in envelope.items:
                self.record_lost_event("queue_overflow", item=item)

    def _get_header_value(self, response: Any, header: str) -> str | None:
        """The SDK writes `Retry-After`, and expects a mapping that does not mind."""
        value: str | None = response.headers.get(header.lower())
        return value

    def _serialize_envelope(self, envelope: Envelope) -> tuple[str, BytesIO]:
        """In one go: the SDK writes into a GzipFile piece by piece, which takes twice as long."""
        return "gzip", BytesIO(gzip.compress(encode(envelope), self._compression_level, mtime=0))

    async def _send_all(self, queue: asyncio.Queue[Envelope], poster: Poster) -> None:
        try:
            while True:
                envelope = await queue.get()
                try:
                    await self._send(envelope, poster)
                except asyncio.CancelledError:
                    super().capture_envelope(envelope)
                    raise
                except Exception:  # as in the SDK's thread
                    capture_internal_exception(sys.exc_info())
                finally:
                    queue.task_done()
        finally:
            poster.close()

    async def _send(self, envelope: Envelope, poster: Poster) -> None:
        prepared = self._prepare_envelope(envelope)
        if prepared is None:
            return
        given, (envelope, body, headers) = envelope, prepared
        self._update_headers(headers)
        try:
            response: Any = await poster.post(headers, body.getvalue())
        except Exception:
            self._handle_request_error(envelope=envelope)
            raise
        if 300 <= response.status < 400:  # the SDK goes where it is sent
            super().capture_envelope(given)
            return
        self._handle_response(response=response, envelope=envelope)
        self._flush_client_reports()


def attach() -> None:
    """In a worker's loop, once it is there."""
    transport = sentry_sdk.get_client().transport
    if isinstance(transport, LoopTransport):
        transport.attach()


async def detach() -> None:
    """In a worker's loop, before it ends."""
    transport = sentry_sdk.get_client().transport
    if isinstance(transport, LoopTransport):
        await transport.detach()
