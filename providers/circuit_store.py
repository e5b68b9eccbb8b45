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

ENTRY = "circuits:2"
"""The number changes with the form, so that two versions of the server can run side by side."""


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

    def claim(self, key: Key, circuit: Circuit, now: float, seconds: float) -> str:
        """Takes the one probe of this pause, for so many seconds or until it is freed. Returns what free() takes, or
        "" when somebody else has it, or the circuit is no longer what it was.

        To take over an expired entry is not atomic in Django's database cache. So each stretch of `seconds` has an
        entry of its own, and one that a dead worker left is only waited for.
        """
        name = hashlib.sha256("\0".join((*key, str(circuit.until))).encode()).hexdigest()
        stretch = int((now - circuit.until) // seconds)
        before, entry = (f"circuit-probe:{name}:{number}" for number in (stretch - 1, stretch))
        if now < self._cache.get(before, 0):
            return ""
        for _ in range(2):  # it may be freed between the two questions
            if self._cache.add(entry, now + seconds, 2 * seconds + SKEW):
                if self._is_current(key, circuit):
                    return entry
                self.free(entry)
                return ""
            if self._cache.get(entry) is not None:
                return ""
        raise CacheSilent

    def free(self, claim: str) -> None:
        """Lets the next one probe: at once, even when the news of this one was lost."""
        self._cache.delete(claim)

    def _is_current(self, key: Key, circuit: Circuit) -> bool:
        """Whoever had a claim before has written how it ended, and the view that led to this one may be older."""
        shared = self.read().get(key)
        return shared is not None and shared.until == circuit.until
