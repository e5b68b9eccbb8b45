"""Where the workers of a deployment share their circuits: Django's cache. Every method does I/O, in a thread.

One entry holds all circuits that have failures, so that a look costs one read. Two workers that write at the same
moment may lose one of the two changes. That costs a count, or decides a pause a moment later: a circuit whose closing
was lost is closed by the next probe, one whose opening was lost is opened by the next failures.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from providers.circuits import FORGOTTEN_OPEN, SKEW, Circuit, Key

ENTRY = "circuits:1"
"""The number changes with the form, so that two versions of the server can run side by side."""

DEATHS = 5
"""Workers that may die during their probes of one pause before the wait becomes longer than a probe's."""


class CacheSilent(Exception):
    """The cache has neither stored an entry nor said that there is one: Django's database cache hides its errors."""


class Store:
    def __init__(self, cache: BaseCache | None = None) -> None:
        # One object for all threads. `caches` makes one for each context, and Redis would get a connection for each.
        self._cache = cache or caches.create_connection("default")

    def read(self) -> dict[Key, Circuit]:
        rows: list[list[Any]] = self._cache.get(ENTRY) or []
        return {Key(*row[:2]): Circuit(*row[2:]) for row in rows}

    def write(self, circuits: Mapping[Key, Circuit]) -> None:
        # Plain values: what is stored outlives this version of the classes.
        self._cache.set(ENTRY, [[*key, *circuit] for key, circuit in circuits.items()], FORGOTTEN_OPEN)

    def claim(self, key: Key, circuit: Circuit, now: float, seconds: float) -> bool:
        """Takes the one probe of this opening, for so many seconds. Returns False when somebody else has it.

        An entry is never taken over, and long outlives its probe: to take over an expired one is not atomic in Django's
        database cache. Whoever comes after a worker that died takes the next number.
        """
        name = hashlib.sha256("\0".join((*key, circuit.opening)).encode()).hexdigest()
        for number in range(DEATHS + 1):
            entry = f"circuit-probe:{name}:{number}"
            ends = self._cache.get(entry)
            if ends is None:
                if self._cache.add(entry, now + seconds, (DEATHS + 1) * seconds):
                    return True
                ends = self._cache.get(entry)
            if ends is None:
                raise CacheSilent
            if now < ends <= now + seconds + SKEW:
                return False
        return False
