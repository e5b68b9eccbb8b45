"""The circuit breaker: a model of a provider that keeps failing gets a pause, instead of every user's turn.

A circuit opens after CHAT_CIRCUIT_FAILURES failures in a row, all workers' together, or when half of a worker's
attempts of the last minute failed. After its pause one probe in the whole deployment finds out whether the provider is
back. A healthy turn costs no I/O: a worker decides by its own view of the shared circuits, about a second old at most.
What an attempt tells changes that view at once; the others hear of it in the background.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.db import connection

from chatproject import db
from providers.circuit_store import Store
from providers.circuits import Change, Circuit, Event, Key, Rules, State, Window
from providers.errors import CircuitOpen
from providers.shared_circuits import FRESH, SharedCircuits

PROBE_MARGIN = 30.0
"""Seconds beyond the longest wait for a first token at which a probe counts as dead."""

PROBE_WAIT = 5.0
"""Seconds after which to come again while somebody else's probe is out: nobody knows how long it takes."""

MOST_KNOWN = 1_000
"""Models that a worker remembers something about: users can name any."""

V = TypeVar("V")


async def admit(provider: str, label: str, model: str) -> None:
    """Lets an attempt pass. Raises CircuitOpen with `retry_after`, at least 1 second, while the circuit is open.

    Every attempt that passes ends in one of succeeded(), failed() and released(), in the task that called this or in
    one that it has made. These and begun() do no I/O, and belong to the event loop.
    """
    await worker().admit(Key(provider, model), label)


def begun(provider: str, model: str) -> None:
    """The first token has come. That is what a probe is to find out: the others need not wait for its end."""
    worker().begun(Key(provider, model))


def succeeded(provider: str, model: str) -> None:
    worker().report(Event.SUCCEEDED, Key(provider, model))


def failed(provider: str, model: str, code: str) -> None:
    """The provider was at fault; `code` is a ProviderError's."""
    worker().report(Event.FAILED, Key(provider, model), code)


def released(provider: str, model: str) -> None:
    """The attempt told nothing of the provider's health: it was cancelled, or the request was at fault."""
    worker().report(Event.RELEASED, Key(provider, model))


def refresh() -> None:
    """Looks at the shared circuits, if the last look is older than a second: then the turn's admit() needs no I/O of
    its own. In a database thread. Does nothing in a transaction, so call it before one begins.
    """
    worker().refresh()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A circuit that is not closed, as health and the admin show it."""

    key: Key
    state: State
    failures: int
    code: str
    retry_after_s: int
    """0 when a probe may be made, or is under way."""
    opened_at: datetime


async def troubles(provider: str) -> list[Trouble]:
    """The provider's circuits that are not closed, by the shared state of now."""
    await worker().look_soon()
    return [trouble for trouble in worker().troubles() if trouble.key.provider == provider]


@dataclass(slots=True, eq=False)
class Probe:
    """The probe of a pause, by this worker or, as far as it knows, by somebody else."""

    pause: float
    """Circuit.until"""
    ends: float
    """When to ask for it again."""
    claim: str = ""
    """What Store.claim() returned."""


# Set by admit() in its caller's context: an attempt of this worker that began earlier is not the probe.
_probe: ContextVar[Probe | None] = ContextVar("probe", default=None)


class Breaker:
    """The breaker of one worker. `admit`, `begun`, `report` and `look_soon` belong to the event loop; `refresh`, `look`
    and `close` do I/O, in any thread.
    """

    def __init__(
        self, rules: Rules, store: Store, *, probe_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """`probe_seconds`: after them a probe counts as dead, with its worker."""
        self._rules = rules
        self._store = store
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._circuits = SharedCircuits(rules, store, clock)
        self._windows: dict[Key, Window] = {}
        self._probes: dict[Key, Probe] = {}

    async def admit(self, key: Key, label: str) -> None:
        """Raises CircuitOpen, with the provider's label."""
        if not self._rules.failures:
            return
        if self._circuits.stale():
            await self._circuits.exchange()
        circuit = self._circuits.view.get(key)
        if circuit is None:
            return
        now = self._clock()
        state = circuit.state(now)
        if state is State.OPEN:
            raise CircuitOpen(provider=label, retry_after=_seconds_left(circuit, now))
        if state is State.HALF_OPEN and not await self._take_probe(key, circuit, now):
            raise CircuitOpen(provider=label, retry_after=PROBE_WAIT)

    def begun(self, key: Key) -> None:
        """The attempt has its first token."""
        if self._own_probe(key):
            self.report(Event.SUCCEEDED, key)

    def report(self, event: Event, key: Key, code: str = "") -> None:
        """How an attempt ended."""
        if not self._rules.failures:
            return
        now = self._clock()
        circuit = self._circuits.view.get(key)
        trips = self._count(event, key, circuit, now)
        change = Change(event, key, now, code, trips=trips)
        if probe := self._own_probe(key):
            del self._probes[key]
            change = change._replace(probed=probe.pause, claim=probe.claim)
        if probe or self._rules.after(circuit, change) != circuit:
            self._circuits.change(change)
            if not self._circuits.resting():
                self._circuits.start()

    def refresh(self) -> None:
        """Looks at the shared circuits if it is time to; not in a transaction, which the cache's error would end."""
        if self._rules.failures and not connection.in_atomic_block and self._circuits.stale():
            self._circuits.sync(wait=0)  # whoever looks already does it for all

    def look(self) -> None:
        """Looks at them now."""
        self._circuits.sync()

    async def look_soon(self) -> None:
        await self._circuits.exchange()

    def close(self, key: Key) -> bool:
        """Closes a circuit for everyone. Returns False when the cache is away: then it is closed here, and for the
        others later.
        """
        self._circuits.change(Change(Event.CLOSED, key, self._clock()))
        return self._circuits.sync()

    def troubles(self) -> list[Trouble]:
        """The circuits that are not closed, by the last look."""
        now = self._clock()
        return [
            Trouble(
                key=key,
                state=state,
                failures=circuit.failures,
                code=circuit.code,
                retry_after_s=_seconds_left(circuit, now) if state is State.OPEN else 0,
                opened_at=datetime.fromtimestamp(circuit.opened, UTC),
            )
            for key, circuit in sorted(self._circuits.view.items())
            if (state := circuit.state(now)) is not State.CLOSED
        ]

    def _count(self, event: Event, key: Key, circuit: Circuit | None, now: float) -> bool:
        """Counts the attempt. Returns whether too many of the last minute's failed."""
        if circuit is not None and circuit.opened:
            self._windows.pop(key, None)  # that past is dealt with
            return False
        if event is Event.RELEASED:
            return False
        window = self._windows.get(key) or _remember(self._windows, key, Window())
        window.add(now, failed=event is Event.FAILED)
        return event is Event.FAILED and window.troubled(now)

    def _own_probe(self, key: Key) -> Probe | None:
        """The probe that the caller makes, if its attempt is one."""
        probe = _probe.get()
        return probe if probe is not None and self._probes.get(key) is probe else None

    async def _take_probe(self, key: Key, circuit: Circuit, now: float) -> bool:
        """Whether the caller is the one who finds out. At most one caller of this worker asks the cache in a second.

        While the cache is away each worker finds out for itself.
        """
        known = self._probes.get(key)
        if known is not None and known.pause == circuit.until and 0 < known.ends - now <= self._probe_seconds:
            return False
        probe = _remember(self._probes, key, Probe(circuit.until, now + self._probe_seconds))
        caller = _probe.set(probe)
        try:
            if not self._circuits.resting() and not await db.run(self._claim, probe, key, circuit, now):
                probe.ends = now + FRESH
                _probe.reset(caller)
                return False
        except Exception as error:  # the cache's, or the pool's
            self._circuits.failed(error)
        except asyncio.CancelledError:
            self.report(Event.RELEASED, key)
            raise
        return True

    def _claim(self, probe: Probe, key: Key, circuit: Circuit, now: float) -> bool:
        # Noted here: a caller who is cancelled is told nothing, and has to give it back.
        probe.claim = self._store.claim(key, circuit, now, self._probe_seconds)
        return bool(probe.claim)


_making = threading.Lock()


@cache
def _make() -> Breaker:
    timeouts = [settings.CHAT_TIMEOUTS, *(row.timeouts for row in settings.CHAT_PROVIDERS.values())]
    longest = max(each.connect + each.first_token for each in timeouts)
    rules = Rules(settings.CHAT_CIRCUIT_FAILURES, settings.CHAT_CIRCUIT_SECONDS)
    return Breaker(rules, Store(), probe_seconds=longest + PROBE_MARGIN)


def worker() -> Breaker:
    """This process's breaker."""
    with _making:  # or two threads that come at once would each get their own
        return _make()


def _seconds_left(circuit: Circuit, now: float) -> int:
    return max(1, math.ceil(circuit.until - now))


def _remember(known: dict[Key, V], key: Key, value: V) -> V:
    """Sets it, and forgets the oldest when there are too many."""
    while len(known) >= MOST_KNOWN and key not in known:
        del known[next(iter(known))]
    known[key] = value
    return value
