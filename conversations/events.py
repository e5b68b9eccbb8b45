"""A turn as server-sent events: created, delta..., then completed or failed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from django.http import StreamingHttpResponse
from ninja.responses import NinjaJSONEncoder

from chatproject.problems import Problem
from conversations import turns
from conversations.schemas import MessageOut
from conversations.turn import Turn

PING_SECONDS = 15.0
"""The longest silence on an open stream: proxies close quieter ones."""


class Mailbox:
    """Texts on their way from the turn to its reader. The reader gets all that are ready at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._closed = False
        self._ready: asyncio.Future[None] | None = None

    def put(self, text: str) -> None:
        self._texts.append(text)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def take(self, seconds: float) -> list[str] | None:
        """What has come; an empty list after `seconds` of silence, None at the end."""
        if not self._texts and not self._closed:
            loop = asyncio.get_running_loop()
            self._ready = loop.create_future()
            alarm = loop.call_later(seconds, self._wake)
            try:
                await self._ready
            finally:
                alarm.cancel()
                self._ready = None
        if self._closed and not self._texts:
            return None
        texts, self._texts = self._texts, []
        return texts

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
        self._task = asyncio.create_task(turns.run(turn, self._mailbox.put))
        self._task.add_done_callback(lambda _: self._mailbox.close())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields bytes, past Django's own wrappers, which cost more per token than anything else here.

        Django closes this generator itself, in the request's task.
        """
        try:
            yield self._created
            number = 0
            while (texts := await self._mailbox.take(PING_SECONDS)) is not None:
                chunk = b"".join(delta(number + i, text) for i, text in enumerate(texts, 1))
                number += len(texts)
                yield chunk or b": ping\n\n"
            yield self._last(number + 1, await self._task)
        finally:
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task})
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


def delta(number: int, text: str) -> bytes:
    return encode("message.delta", number, f'{{"delta": {json.dumps(text, ensure_ascii=False)}}}')
