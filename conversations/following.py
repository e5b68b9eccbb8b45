"""The kept events of a detached turn as a stream: what there is, and then what comes, wherever the turn runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from django.http import StreamingHttpResponse

from chatproject import db
from chatproject.db import AWAY
from chatproject.problems import Problem
from conversations import encoding, endings, kept_events
from conversations.encoding import PING
from conversations.events import CONTENT_TYPE, HEADERS
from conversations.live import registry
from conversations.models import Message
from conversations.outbox import PING_SECONDS

PAUSE = 0.2
"""Seconds between two looks for new events."""

QUIET = 1.0
"""Seconds without events after which the message is asked whether its turn still runs, and how often then."""


class Following(StreamingHttpResponse):
    """Sends the events after number `after`, up to the last of the turn. A reader who leaves changes nothing."""

    def __init__(self, message: Message, after: int = -1) -> None:
        super().__init__(content_type=CONTENT_TYPE, headers=HEADERS)
        self.on_end: Callable[[], None] = lambda: None
        self._message = message
        self._number = after
        self._ended = False
        self._asked = time.monotonic()
        """When the message was asked last, or there were events."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = time.monotonic()
        try:
            while not self._ended:
                if kept := await self._next():
                    self._number, self._ended = kept.last, kept.ends
                    sent = time.monotonic()
                    yield kept.data.encode()
                elif registry.draining and self._message.pk not in registry.turn_ids:
                    return  # whoever runs it, or has ended it, is reached elsewhere
                else:
                    if time.monotonic() - sent >= PING_SECONDS:
                        sent = time.monotonic()
                        yield PING
                    await asyncio.sleep(PAUSE)
        finally:
            self.on_end()

    async def _next(self) -> kept_events.Kept | None:
        """What has come; None when nothing has, or the database is away: it may come back, and nothing is lost."""
        try:
            kept = await db.run(kept_events.read, self._message.pk, self._number)
            if kept is None and time.monotonic() - self._asked >= QUIET:
                kept = await self._end()
        except AWAY:
            return None
        if kept:
            self._asked = time.monotonic()
        return kept

    async def _end(self) -> kept_events.Kept | None:
        """What is left, made up where the turn could not store its last event; None while it runs."""
        self._asked = time.monotonic()
        try:
            message = await db.run(kept_events.ended, self._message.pk)
            if message is None:
                return None
            if kept := await db.run(kept_events.read, message.pk, self._number):
                return kept
            problem = endings.problem_of(message)
        except Message.DoesNotExist:
            message, problem = self._message, Problem("message_not_found", "The message was deleted.")
        last = encoding.last(self._number + 1, message, problem)
        return kept_events.Kept(last.decode(), self._number + 1, True)
