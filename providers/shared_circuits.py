"""One worker's view of the circuits that all workers share."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context

from django.conf import settings

from chatproject import db
from providers.circuit_store import Store
from providers.circuits import Change, Circuit, Key, Rules, State

logger = logging.getLogger("providers.breaker")

FRESH = 1.0
"""Seconds that a look at the shared circuits is good for."""

REST = 10.0
"""Seconds for which a cache that failed is left alone."""

PATIENCE = 1.0
"""Seconds that a turn waits for the cache, at most; the work itself goes on."""

MOST_PENDING = 1_000

Circuits = Mapping[Key, Circuit]


class SharedCircuits:
    """`view` is the shared state as of the last look, with the changes of this worker that are not written yet.

    While the cache is away the view lives on by this worker's own changes, which are written when it is back. The
    coroutines belong to the event loop; everything else may be called from any thread.
    """

    def __init__(self, rules: Rules, store: Store, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._store = store
        self._clock = clock
        self.view: Circuits = {}
        self._lock = threading.Lock()
        """Of the view and of what follows. Never held during I/O."""
        self._pending: list[Change] = []
        self._good_until = 0.0
        """When the view is to be looked at anew."""
        self._away = False
        self._exchanging = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def stale(self) -> bool:
        """Whether it is time to look."""
        return not _ahead(self._good_until, self._clock())

    def resting(self) -> bool:
        """Whether the cache is away, and not to be asked again yet."""
        return self._away and not self.stale()

    def change(self, change: Change) -> None:
        """Changes the view. start() or sync() writes it."""
        now = self._clock()
        with self._lock:
            del self._pending[: 1 - MOST_PENDING]
            self._pending.append(change)
            before, self.view = self.view, self._rules.apply(self.view, [change], now)
            after = self.view
        log({change.key}, before, after, now)

    async def exchange(self) -> None:
        """Waits for start(), but not for long. A caller who is cancelled, or loses patience, does not end it."""
        _, hanging = await asyncio.wait({self.start()}, timeout=PATIENCE)
        if hanging:
            self.failed(TimeoutError())

    def start(self) -> "asyncio.Task[None]":
        """Lets a database thread sync() until no change is pending, unless one does."""
        if self._task is None or self._task.done():
            # In a context of its own: it may outlive the turn that starts it, whose span it would take.
            self._task = asyncio.create_task(self._run(), context=Context())
        return self._task

    async def _run(self) -> None:
        try:
            while await db.run(self.sync):
                if not self._pending:
                    break
        except Exception as error:  # not the cache's, but the pool's
            self.failed(error)

    def sync(self, wait: float = PATIENCE) -> bool:
        """Writes the changes and adopts what is shared. Returns whether that could be done. Does I/O.

        Threads that come at once take turns, but none of them waits for more than `wait` seconds.
        """
        if not self._exchanging.acquire(timeout=wait):
            return False
        try:
            with self._lock:
                changes, self._pending = self._pending, []
            try:
                shared = self._write(changes)
            except Exception as error:  # each cache has its own
                with self._lock:
                    self._pending[:0] = changes
                self.failed(error)
                return False
            self._adopt(shared, {change.key for change in changes})
            return True
        finally:
            self._exchanging.release()

    def _write(self, changes: list[Change]) -> Circuits:
        before = self._store.read()
        if not changes:
            return before
        after = self._rules.apply(before, changes, self._clock())
        if after != before:
            self._store.write(after)
        for change in changes:
            if change.claim:  # not earlier: who claims it next goes by what is written
                self._store.free(change.claim)
        return after

    def _adopt(self, shared: Circuits, changed: Iterable[Key]) -> None:
        now = self._clock()
        with self._lock:
            before, self.view = self.view, self._rules.apply(shared, self._pending, now)
            after = self.view
            self._good_until = now + FRESH
            back, self._away = self._away, False
        log(changed, before, after, now)
        if back:
            logger.info("the cache answers again: the workers share their circuits")

    def failed(self, error: Exception) -> None:
        """The cache is away. Said once, until it is back."""
        with self._lock:
            self._good_until = self._clock() + REST
            news, self._away = not self._away, True
        if news:
            logger.warning("the cache fails (%s): each worker knows of its own circuits only", type(error).__name__)


def _ahead(moment: float, now: float) -> bool:
    """Whether it is still to come; one that is further away than any we set means a clock that was set back."""
    return now < moment <= now + REST


def log(keys: Iterable[Key], before: Circuits, after: Circuits, now: float) -> None:
    """Tells of the circuits among `keys` that have opened or closed."""
    for key in keys:
        was, is_ = before.get(key), after.get(key)
        model = own_model(key) or "another model"
        if is_ is not None and is_.state(now) is State.OPEN and (was is None or was.state(now) is not State.OPEN):
            logger.warning("%s, %s: circuit open for %.0f s after %s", key.provider, model, is_.pause, is_.code)
        elif was is not None and was.opened and (is_ is None or not is_.opened):
            logger.info("%s, %s: circuit closed", key.provider, model)


def own_model(key: Key) -> str | None:
    """The model if it is one of this server's own; another one's name is the affair of the user who gave it."""
    provider = settings.CHAT_PROVIDERS.get(key.provider)
    known = provider is not None and key.model in {provider.model, provider.fallback_model}
    return key.model if known else None
