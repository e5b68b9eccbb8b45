"""Which attempts may be made, and what their ends tell: the breaker of one worker."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from django.db import connection

from chatproject import db
from providers.circuit_store import Store
from providers.circuits import Change, Circuit, Event, Key, Rules, State, Window
from providers.errors import CircuitOpen
from providers.shared_circuits import FRESH, SharedCircuits

PROBE_WAIT = 5.0
"""Seconds after which to come again while somebody else's probe is out: nobody knows how long it takes."""

MOST_KNOWN = 1_000
"""Models that a worker remembers something about: users can name any."""

V = TypeVar("V")


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


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    opening: str
    ends: float


# Set by admit() in its caller's context: an attempt of this worker that began earlier is not the probe.
_probe: ContextVar[Probe | None] = ContextVar("probe", default=None)


class Breaker:
    """`admit` and `report` belong to the event loop; `refresh`, `look` and `close` do I/O, in any thread."""

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
        self._asked: dict[Key, tuple[str, float]] = {}
        """The opening whose probe this worker has asked for last, and when."""
        self._lock = threading.Lock()
        """Of the probes."""
        self._probes: dict[Key, Probe] = {}
        """Those that this worker makes."""

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

    async def report(self, event: Event, key: Key, code: str = "") -> None:
        """How an attempt ended. Does I/O only when that changes a circuit."""
        if not self._rules.failures:
            return
        now = self._clock()
        circuit = self._circuits.view.get(key)
        probe = self._own_probe(key)
        trips = self._count(event, key, circuit, now)
        change = Change(event, key, now, code, probe.opening if probe else "", trips)
        if self._rules.after(circuit, change) != circuit:
            self._circuits.change(change)
            await self._circuits.settle()

    def refresh(self) -> None:
        """Looks at the shared circuits if it is time to; not in a transaction, which the cache's error would end."""
        if self._rules.failures and not connection.in_atomic_block and self._circuits.due():
            self._circuits.sync()

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
        """The probe that the caller has made, if its attempt was one."""
        probe = _probe.get()
        return probe if probe is not None and self._give_up(key, probe) else None

    def _give_up(self, key: Key, probe: Probe) -> bool:
        """Ends a probe of this worker. Returns False when it is none."""
        with self._lock:
            if self._probes.get(key) is not probe:
                return False
            del self._probes[key]
            return True

    async def _take_probe(self, key: Key, circuit: Circuit, now: float) -> bool:
        """Whether the caller is the one who finds out. At most one caller of this worker asks the cache in a second."""
        opening, asked = self._asked.get(key, ("", 0.0))
        if opening == circuit.opening and 0 <= now - asked < FRESH:
            return False
        _remember(self._asked, key, (circuit.opening, now))
        probe = Probe(circuit.opening, now + self._probe_seconds)
        try:
            won = await db.run(self._claim, key, circuit, probe, now)
        except Exception as error:  # the pool's
            self._circuits.failed(error)
            won = self._keep(key, probe, now)
        except asyncio.CancelledError:
            if self._give_up(key, probe):
                self._circuits.change(Change(Event.RELEASED, key, now, opening=probe.opening))
                self._circuits.start()
            raise
        if won:
            _probe.set(probe)
        return won

    def _claim(self, key: Key, circuit: Circuit, probe: Probe, now: float) -> bool:
        if not self._circuits.resting():
            try:
                return self._store.claim(key, circuit, now, self._probe_seconds) and self._keep(key, probe, now)
            except Exception as error:
                self._circuits.failed(error)
        return self._keep(key, probe, now)

    def _keep(self, key: Key, probe: Probe, now: float) -> bool:
        """Makes it the probe of this worker, unless it makes one: so it goes on while the cache is away."""
        with self._lock:
            own = self._probes.get(key)
            if own is not None and own.opening == probe.opening and now < own.ends:
                return False
            _remember(self._probes, key, probe)
            return True


def _seconds_left(circuit: Circuit, now: float) -> int:
    return max(1, math.ceil(circuit.until - now))


def _remember(known: dict[Key, V], key: Key, value: V) -> V:
    """Sets it, and forgets the oldest when there are too many."""
    while len(known) >= MOST_KNOWN and key not in known:
        del known[next(iter(known))]
    known[key] = value
    return value
