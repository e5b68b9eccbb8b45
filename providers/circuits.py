"""What is known of the failures of a provider's model, and how it changes: values and rules, no cache and no clock.

Times are seconds of time.time(), since the nodes of a deployment share them. Clocks that differ by a few seconds make
a pause that much longer or shorter, and no more.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

MOST = 100
"""Circuits that are kept: users can name any model, and must not fill the memory or the cache with it."""

FORGOTTEN = 3600.0
"""Seconds after which failures that did not open the circuit no longer count."""

FORGOTTEN_OPEN = 86_400.0
"""Seconds after its pause at which a circuit is forgotten that nobody has asked for since."""

LONGEST = 10
"""How many times the first pause the pauses of a provider that stays away may grow to."""

SKEW = 60.0
"""Seconds by which clocks may differ. A circuit that opened later than that from now means a clock was set back."""


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Key(NamedTuple):
    provider: str
    model: str


class Circuit(NamedTuple):
    """One that has failures. A circuit without any is closed, and not kept."""

    failures: int
    """In a row."""
    code: str
    """Of the last one."""
    changed: float
    opened: float = 0
    """When it opened for the first time since it was closed; 0 while it is closed."""
    pause: float = 0
    """Seconds."""
    until: float = 0
    """When the pause ends, and a probe may be made. It tells one pause from the next."""

    def state(self, now: float) -> State:
        if not self.opened:
            return State.CLOSED
        begun = self.until - self.pause - SKEW <= now
        return State.OPEN if begun and now < self.until else State.HALF_OPEN

    def reopened(self, pause: float, at: float) -> "Circuit":
        return self._replace(opened=self.opened or at, pause=pause, until=at + pause)


class Event(Enum):
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    RELEASED = "released"
    """The attempt told nothing: its probe, if it was one, may be made again."""
    CLOSED = "closed"
    """By a person."""


class Change(NamedTuple):
    event: Event
    key: Key
    at: float
    code: str = ""
    probed: float = 0
    """Circuit.until of the pause that it probed, if it is a probe's."""
    claim: str = ""
    """What Store.claim() returned for that probe."""
    trips: bool = False
    """Whether this failure opens the circuit, however few there were in a row."""


@dataclass(frozen=True, slots=True)
class Rules:
    failures: int
    """In a row, until a circuit opens; 0: never."""
    pause: float
    """Seconds of the first pause."""

    def after(self, circuit: Circuit | None, change: Change) -> Circuit | None:
        """What a circuit becomes."""
        if circuit is not None and _forgotten(circuit, change.at):
            circuit = None
        if change.event is Event.CLOSED:
            return None
        if change.event is Event.RELEASED:
            return circuit
        if circuit is None or circuit.state(change.at) is State.CLOSED:
            return self._while_closed(circuit, change)
        # What began before it opened tells of the past: the probe alone decides.
        if change.probed != circuit.until:
            return circuit
        if change.event is Event.SUCCEEDED:
            return None
        failed = circuit._replace(failures=circuit.failures + 1, code=change.code, changed=change.at)
        return failed.reopened(min(2 * circuit.pause, LONGEST * self.pause), change.at)

    def _while_closed(self, circuit: Circuit | None, change: Change) -> Circuit | None:
        if change.event is Event.SUCCEEDED:
            return None
        failures = (circuit.failures if circuit else 0) + 1
        failed = Circuit(failures=failures, code=change.code, changed=change.at)
        return failed.reopened(self.pause, change.at) if change.trips or failures >= self.failures else failed

    def apply(self, circuits: Mapping[Key, Circuit], changes: Iterable[Change], now: float) -> dict[Key, Circuit]:
        """The circuits after the changes, without the old, and at most MOST of them."""
        result = dict(circuits)
        for change in changes:
            if (circuit := self.after(result.get(change.key), change)) is None:
                result.pop(change.key, None)
            else:
                result[change.key] = circuit
        result = {key: circuit for key, circuit in result.items() if not _forgotten(circuit, now)}
        if len(result) > MOST:
            by_worth = sorted(result.items(), key=lambda item: (bool(item[1].opened), item[1].changed))
            result = dict(by_worth[-MOST:])
        return result


def _forgotten(circuit: Circuit, now: float) -> bool:
    if circuit.opened:
        return abs(now - circuit.until) > FORGOTTEN_OPEN
    return abs(now - circuit.changed) > FORGOTTEN


class Window:
    """The attempts of the last minute."""

    STEP, STEPS = 5.0, 12
    ENOUGH = 20
    """Attempts below which a share says nothing."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: deque[list[int]] = deque(maxlen=self.STEPS)
        """[step, attempts, failures]"""

    def add(self, now: float, *, failed: bool) -> None:
        step = int(now // self.STEP)
        if not self._steps or self._steps[-1][0] != step:
            self._steps.append([step, 0, 0])
        last = self._steps[-1]
        last[1] += 1
        last[2] += failed

    def troubled(self, now: float) -> bool:
        """Whether half of them failed, or more."""
        newest = int(now // self.STEP)
        recent = [step for step in self._steps if newest - self.STEPS < step[0] <= newest]
        attempts, failures = sum(step[1] for step in recent), sum(step[2] for step in recent)
        return attempts >= self.ENOUGH and 2 * failures >= attempts
