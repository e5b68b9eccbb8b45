"""The turns that this worker runs: kept alive in the database, and ended when the worker shuts down."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from itertools import count
from typing import Protocol
from uuid import UUID

from django.db import Error as DatabaseError

from chatproject import db
from chatproject.observability import metrics
from conversations import store

logger = logging.getLogger(__name__)

HEARTBEAT = 1.0
"""Seconds between two saves of the partial texts: what a `kill -9` may cost."""

SWEEP = 5
"""Heartbeats between two looks for turns that other workers have left behind."""


Save = Callable[[], Awaitable[None]]


class LiveTurn(Protocol):
    """What this module asks of a turn."""

    @property
    def id(self) -> UUID: ...
    @property
    def text(self) -> str: ...
    def interrupt(self) -> None:
        """Ends the turn as `interrupted`."""


class Registry:
    """The live turns of one worker process. Used from its event loop alone."""

    def __init__(self) -> None:
        self.turns: set[LiveTurn] = set()
        self.closing = False
        """Whether the worker is on its way out, so that a turn that is cancelled was interrupted, not left."""
        self._owed: list[Save] = []
        self._heart: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Starts the heartbeat, unless it beats."""
        if self._heart is None:
            # In a context of its own: it outlives the request that may start it, whose ids and spans are not its.
            self._heart = asyncio.create_task(self._beat(), context=Context())

    @contextmanager
    def holding(self, turn: LiveTurn) -> Iterator[None]:
        self.turns.add(turn)
        metrics.live_streams(len(self.turns))
        self._idle.clear()
        if self.closing:
            turn.interrupt()
        self.start()
        try:
            yield
        finally:
            self.turns.discard(turn)
            metrics.live_streams(len(self.turns))
            if not self.turns:
                self._idle.set()

    def owe(self, save: Save) -> None:
        """Saves later, and as often as it takes, what the database could not take at a turn's end."""
        self._owed.append(save)

    def interrupt_all(self) -> None:
        """Ends every turn as `interrupted`; each stores its text and tells its reader."""
        self.closing = True
        for turn in list(self.turns):
            turn.interrupt()

    async def stop(self) -> None:
        """Ends every turn and waits until each has stored its text."""
        self.interrupt_all()
        await self._idle.wait()
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
        await self._settle()

    async def _beat(self) -> None:
        for beat in count():
            await asyncio.sleep(HEARTBEAT)
            await self._settle()
            texts = {turn.id: turn.text for turn in self.turns}
            try:
                if texts:
                    await db.run(store.keep_alive, texts)
                if beat % SWEEP == 0:
                    await db.run(store.sweep_turns, list(texts))
            except DatabaseError as error:
                # The next beat tries again; the turns go on, and each stores its whole text at its end.
                logger.warning("the live turns could not be saved: %s", type(error).__name__)

    async def _settle(self) -> None:
        """Saves what is owed, as far as the database takes it."""
        while self._owed:
            try:
                await self._owed[0]()
            except DatabaseError as error:
                logger.warning("%d answers wait for the database: %s", len(self._owed), type(error).__name__)
                return
            self._owed.pop(0)


registry = Registry()
