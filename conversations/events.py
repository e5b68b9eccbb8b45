"""A turn as server-sent events: created, delta (and reasoning, when asked for)..., then completed or failed."""

import asyncio
from collections.abc import AsyncIterator, Callable

from django.http import StreamingHttpResponse

from conversations import encoding, turns
from conversations.encoding import DELTA, PING, REASONING, delta, encode
from conversations.keeping import Keeper
from conversations.outbox import PING_SECONDS, Outbox
from conversations.turn import Turn
from providers.base import ToolCallDelta

CONTENT_TYPE = "text/event-stream; charset=utf-8"
"""With the charset: clients that are no browsers take text without one for Latin-1 (RFC 2616)."""
# Connection: whether a worker will still be there at a stream's end is not known at its beginning. A proxy that keeps
# the connection would send the next request into its closing, and a POST cannot be sent again.
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Connection": "close"}


class Mailbox(Outbox):
    """Events on their way from the turn to its reader, as they go out."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        """Of the last event, of which 0 is message.created."""

    def text(self, piece: str) -> None:
        self._put(DELTA, piece)

    def reasoning(self, piece: str) -> None:
        self._put(REASONING, piece)

    def tool_calls(self, pieces: tuple[ToolCallDelta, ...]) -> None:
        """They come with the whole message."""

    def leave(self) -> None:
        """The reader has gone."""

    def _put(self, event: str, piece: str) -> None:
        self.number += 1
        self.put(encode(event, self.number, delta(piece)))


class KeptMailbox(Mailbox):
    """One whose events are kept, whether there is a reader or not."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__()
        self._keeper = keeper
        self._read = True

    def put(self, data: bytes) -> None:
        self._keeper.add(data)
        if self._read:
            super().put(data)

    def leave(self) -> None:
        self._read = False
        self._data.clear()


class EventStream(StreamingHttpResponse):
    """Runs the turn in a task of its own and sends its events. A reader who leaves cancels the turn, unless that is
    detached."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(content_type=CONTENT_TYPE, headers=HEADERS)
        self.on_end: Callable[[], None] = lambda: None
        self._turn = turn
        self._mailbox = KeptMailbox(turn.keeper) if turn.keeper else Mailbox()
        # The event shows the message as it was before the turn began to fill it in.
        self._created = encoding.created(turn.message)
        self._task = asyncio.create_task(turns.run(turn, self._mailbox))
        self._task.add_done_callback(lambda _: self._mailbox.close())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yields bytes, past Django's own wrappers, which cost more per token than anything else here.

        Django closes this generator itself, in the request's task.
        """
        try:
            yield self._created
            while (events := await self._mailbox.take(PING_SECONDS)) is not None:
                yield events or PING
            problem = await self._task
            yield encoding.last(self._mailbox.number + 1, self._turn.message, problem)
        finally:
            self._mailbox.leave()
            try:
                if not self._task.done():
                    self._task.cancel()
                    await asyncio.wait({self._task})
            finally:  # whoever cancels again need not wait
                self.on_end()
