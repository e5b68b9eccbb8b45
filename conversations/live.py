"""The turns that this worker runs: kept alive in the database, and ended when the worker shuts down."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, Protocol
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import IntegrityError

from chatproject import db
from chatproject.db import AWAY
from chatproject.load import load
from chatproject.observability import context, metrics
from chatproject.problems import Problem
from conversations import idempotent, kept_events, leases
from conversations.keeping import Keeper
from conversations.search import indexing

logger = logging.getLogger(__name__)

LOOK = 0.4
"""Seconds between two looks for turns that somebody, at whatever worker, has cancelled or deleted."""

SAVE = 0.8
"""Seconds between two saves of the partial texts. With the time that a save takes: what a `kill -9` may cost."""

KEEP = 0.25
"""Seconds between two writes of the events of detached turns."""

CLEAN = 60.0
"""Seconds between two looks for what is kept no longer."""

CLEANED = 20
"""Batches that one look deletes at most."""

SWEEP = 2.0
"""Seconds between two looks for turns that other workers have left behind."""


INDEX = 1.0
"""Seconds between two looks for messages and titles that the search does not know yet."""

INDEXING = 0.3
"""Seconds after which one of these leaves the rest to the next."""

TENDED = 2.0
"""Seconds for what is left to do when the last turn has been stored."""

LAST_MOMENT = 0.5
"""Seconds from the end of listening until no turn may begin: what was on its way, or just accepted, is still served."""

TRIES = 3
"""Owed answers that the database may refuse before it counts as away; one may be locked by somebody."""

Save = Callable[[], Awaitable[None]]


class LiveTurn(Protocol):
    """What this module asks of a turn."""

    @property
    def id(self) -> UUID: ...
    @property
    def text(self) -> str: ...
    @property
    def stored(self) -> bool:
        """Whether it has a row in the database."""

    @property
    def metered(self) -> bool:
        """Whether it is in the ledger of its API key."""

    @property
    def keeper(self) -> Keeper | None:
        """Of its events, if these are kept."""

    def interrupt(self) -> None:
        """Ends the turn as `interrupted`."""

    def cancel(self) -> None:
        """Ends the turn as `cancelled`."""


class Registry:
    """The live turns of one worker process. Used from its event loop alone."""

    def __init__(self) -> None:
        self.turns: set[LiveTurn] = set()
        self.closing = False
        """Whether the worker is on its way out, so that a turn that is cancelled was interrupted, not left."""
        self.draining = False
        """Whether the worker listens no more; the turns that run may go on."""
        self._refuses_from = 0.0
        """When no turn may begin here any more, on time.monotonic(), once it drains."""
        self._owed: list[Save] = []
        self._saved: dict[UUID, str] = {}
        """The text of each turn when it was saved last."""
        self._counted = 0
        """How many turns the metric has last told of."""
        self._suspects: set[UUID] = set()
        self.requests: set[int] = set()
        """The requests with an Idempotency-Key that are under way here."""
        self._tended: set[asyncio.Task[Any]] = set()
        self._jobs: list[asyncio.Task[None]] = []
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Starts looking after the turns, unless that has happened."""
        if not self._jobs:
            work = {self.look: LOOK, self.save: SAVE, self.settle: SAVE, self.sweep: SWEEP}
            work |= {self.keep: KEEP, self.clean: CLEAN, self.index: INDEX}
            # In contexts of their own: they outlive the request that may start them, whose ids are not theirs.
            self._jobs = [asyncio.create_task(every(pause, job), context=Context()) for job, pause in work.items()]

    def admit(self) -> None:
        """Raises Problem `interrupted` when no turn may begin here any more."""
        if self.draining and time.monotonic() >= self._refuses_from:
            raise Problem("interrupted", "The server is restarting: send it again.", headers={"Retry-After": "1"})

    @contextmanager
    def holding(self, turn: LiveTurn) -> Iterator[None]:
        self.turns.add(turn)
        load.turns = len(self.turns)
        self._idle.clear()
        if self.closing:
            turn.interrupt()
        self.start()
        try:
            yield
        finally:
            self.turns.discard(turn)
            load.turns = len(self.turns)
            if not self.turns:
                self._idle.set()

    def tend(self, task: asyncio.Task[Any]) -> None:
        """Keeps a task that nobody may be waiting for, and has the end of the worker wait for it."""
        self._tended.add(task)
        task.add_done_callback(self._tended.discard)

    def owe(self, save: Save) -> None:
        """Saves later, and as often as it takes, what the database could not take at a turn's end."""
        self._owed.append(save)

    def drain(self) -> None:
        """The worker listens no more. A proxy goes elsewhere when it cannot connect, not when a turn is refused."""
        if not self.draining:
            self.draining, self._refuses_from = True, time.monotonic() + LAST_MOMENT

    def interrupt_all(self) -> None:
        """Ends every turn as `interrupted`; each stores its text and tells its reader."""
        self.closing = self.draining = True
        self._refuses_from = 0.0
        for turn in list(self.turns):
            turn.interrupt()

    def cancel(self, turn_id: UUID) -> None:
        """Ends a turn as `cancelled`, if it runs here."""
        for turn in list(self.turns):
            if turn.id == turn_id:
                turn.cancel()

    async def stop(self) -> None:
        """Ends every turn and waits until each has stored its text.

        While the worker drains, those that nobody reads may go on as long as the others: gunicorn.conf.py ends that.
        """
        if not self.draining:
            self.interrupt_all()
        await self._idle.wait()
        self.interrupt_all()
        if self._tended:
            await asyncio.wait(self._tended, timeout=TENDED)
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await self.settle()
        metrics.live_streams(0)

    @property
    def turn_ids(self) -> set[UUID]:
        return {turn.id for turn in self.turns}

    @property
    def stored(self) -> list[LiveTurn]:
        """The turns that have rows: nobody else looks after the others, or could."""
        return [turn for turn in self.turns if turn.stored]

    async def look(self) -> None:
        """Ends the turns that somebody has cancelled or deleted. Asks the database only while turns run."""
        turn_ids = [turn.id for turn in self.stored]
        if not turn_ids:
            return
        with suppress(DatabaseError):  # `save` tells of it
            for turn_id in await db.run(leases.unwanted, turn_ids):
                self.cancel(turn_id)

    async def save(self) -> None:
        texts = {turn.id: turn.text for turn in self.stored}
        if self.turns or self._counted:  # and once more when the last has ended
            self._counted = len(self.turns)
            metrics.live_streams(self._counted)
        new = {turn_id: text for turn_id, text in texts.items() if self._saved.get(turn_id) != text}
        try:
            metered = [turn.id for turn in self.turns if turn.metered]
            if texts or metered:
                await db.run(leases.keep_alive, list(texts), new, metered)
            if self.requests:
                await db.run(idempotent.keep_alive, list(self.requests))
            self._saved = texts
        except DatabaseError as error:
            # The next time tries again; the turns go on, and each stores its whole text at its end.
            logger.warning("the live turns could not be saved: %s", type(error).__name__)

    async def keep(self) -> None:
        """Writes the events of detached turns that have come."""
        due = {turn.keeper: batches for turn in self.turns if turn.keeper and (batches := turn.keeper.due())}
        if not due:
            return
        with suppress(DatabaseError):  # `save` tells of it
            await db.run(kept_events.write, [batch for batches in due.values() for batch in batches])
            for keeper in due:  # not those that gave nothing: one that has ended may hold what is not written
                keeper.written()

    async def clean(self) -> None:
        """Deletes what is kept no longer."""
        try:
            for delete in (kept_events.delete_old, idempotent.delete_old):
                for _ in range(CLEANED):
                    if not await db.run(delete):
                        break
        except DatabaseError as error:
            logger.warning("what is old could not be deleted: %s", type(error).__name__)

    async def sweep(self) -> None:
        """Ends the turns that look dead twice in a row: after an outage the living need a moment for their leases."""
        before, self._suspects = self._suspects, set()
        try:
            dead = await db.run(leases.dead_turn_ids, [turn.id for turn in self.turns])
            if again := dead & before:
                await db.run(leases.sweep_turns, again)
            self._suspects = dead - again
        except DatabaseError as error:
            logger.warning("dead turns could not be looked for: %s", type(error).__name__)

    async def index(self) -> None:
        """Has the search know what is new."""
        try:
            await db.run(indexing.index_for, INDEXING)
        except DatabaseError as error:
            logger.warning("the search could not be brought up to date: %s", type(error).__name__)

    async def settle(self) -> None:
        """Saves what is owed, as far as the database takes it; what it does not take now waits for the next time."""
        refused = 0
        for save in list(self._owed):
            try:
                await save()
            except AWAY as error:
                logger.warning("%d answers wait for the database: %s", len(self._owed), type(error).__name__)
                refused += 1
                if refused == TRIES:
                    return
                continue
            except IntegrityError:
                pass  # it was stored the first time, only the database's answer was lost
            except Exception as error:  # it never will be taken
                context.capture(error)
                logger.error("an answer could not be stored: %s", type(error).__name__)
            self._owed.remove(save)


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does `work` again and again; a bug in it must not leave the turns to themselves."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:
            context.capture(error, handled=False)
            logger.error("the live turns could not be looked after: %s", type(error).__name__)


registry = Registry()
