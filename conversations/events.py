"""A turn as server-sent events: created, delta (and reasoning, when asked for)..., then completed or failed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from json.encoder import encode_basestring  # json.dumps makes an encoder for each token

from django.http import StreamingHttpResponse
from ninja.responses import NinjaJSONEncoder

from chatproject.problems import Problem
from conversations import turns
from conversations.documents import MessageOut
from conversations.turn import Turn

PING_SECONDS = 15.0
"""The longest silence on an open stream: proxies close quieter ones."""


class Mailbox:
    """Events on their way from the turn to its reader, as they go out. The reader gets all that are ready at once."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last event, of which 0 is message.created."""
        self._events: list[bytes] = []
        self._closed = False
        self._ready: asyncio.Future[None] | None = None

    def text(self, piece: str) -> None:
        self._put("message.delta", piece)

    def reasoning(self, piece: str) -> None:
        self._put("message.reasoning", piece)

    def _put(self, event: str, piece: str) -> None:
        self.number += 1
        self._events.append(encode(event, self.number, f'{{"delta": {encode_basestring(piece)}}}'))
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def take(self, seconds: float) -> bytes | None:
        """What has come; empty after `seconds` of silence, None at the end."""
        if not self._events and not self._closed:
            loop = asyncio.get_running_loop()
            self._ready = loop.create_future()
            alarm = loop.call_later(seconds, self._wake)
            try:
                await self._ready
            finally:
                alarm.cancel()
                self._ready = None
        if self._closed and not self._events:
            return None
        events, self._events = self._events, []
        return b"".join(events)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)


class EventStream(StreamingHttpResponse):
    """Runs the turn in a task of its own and sends its events. A reader who leaves cancels the turn."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(
            content_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        self.on_end: Callable[[], None] = lambda: None
        self._turn = turn
        self._mailbox = Mailbox()
        # The event shows the message as it was before the turn began to fill it in.
        self._created = encode("message.created", 0, document(turn))
        self._task = asyncio.create_task(turns.run(turn, self._mailbox))
        self._task.add_done_callback(lambda _: self._mailbox.close())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields bytes, past Django's own wrappers, which cost more per token than anything else here.

        Django closes this generator itself, in the request's task.
        """
        try:
            yield self._created
            while (events := await self._mailbox.take(PING_SECONDS)) is not None:
                yield events or b": ping\n\n"
            yield self._last(self._mailbox.number + 1, await self._task)
        finally:
            try:
                if not self._task.done():
                    self._task.cancel()
                    await asyncio.wait({self._task})
            finally:  # whoever cancels again need not wait
                self.on_end()

    def _last(self, number: int, problem: Problem | None) -> bytes:
        if problem is None:
            return encode("message.completed", number, document(self._turn))
        failure = problem.document(self._turn.message.request_id)
        return encode("message.failed", number, json.dumps(failure, ensure_ascii=False))


def document(turn: Turn) -> str:
    """The message as the JSON endpoints show it, to the digit."""
    return json.dumps(MessageOut.from_orm(turn.message).dict(), cls=NinjaJSONEncoder)


def encode(event: str, number: int, data: str) -> bytes:
    return f"event: {event}\nid: {number}\ndata: {data}\n\n".encode()
