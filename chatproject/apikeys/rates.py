"""Requests per minute: those of this minute, and those of the one before as far as the last 60 seconds reach into it.

Refused requests do not count. The counters are a row of the database, changed by one statement, or with Redis two of
its keys; so all workers and nodes share them.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.redis import RedisCache
from django.db import connection

logger = logging.getLogger(__name__)

MINUTE = 60

REST = 10.0
"""Seconds for which a Redis that failed is left alone; meanwhile the database counts."""

# A node whose clock is behind must not begin the minute anew: the row's next minute is this one as well. Cast, since
# PostgreSQL takes a literal for a decimal: a third of the requests, three times, is then more than all of them.
COUNT = """
    INSERT INTO apikeys_requestcount AS c (key_id, minute, requests, earlier) VALUES (%s, %s, 1, 0)
    ON CONFLICT (key_id) DO UPDATE SET
        minute = CASE WHEN c.minute = excluded.minute + 1 THEN c.minute ELSE excluded.minute END,
        requests = CASE WHEN c.minute IN (excluded.minute, excluded.minute + 1) THEN c.requests + 1 ELSE 1 END,
        earlier = CASE WHEN c.minute IN (excluded.minute, excluded.minute + 1) THEN c.earlier
            WHEN c.minute = excluded.minute - 1 THEN c.requests ELSE 0 END
    WHERE 1 + CASE WHEN c.minute IN (excluded.minute, excluded.minute + 1)
            THEN c.requests + c.earlier * CAST(%s AS double precision)
            WHEN c.minute = excluded.minute - 1 THEN c.requests * CAST(%s AS double precision) ELSE 0 END <= %s
    RETURNING requests, earlier
"""
READ = "SELECT minute, requests, earlier FROM apikeys_requestcount WHERE key_id = %s"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a key's requests have come to, this one included."""

    limit: int
    remaining: int
    reset: int
    """Seconds until there are more; of a refused request, until one would be taken."""
    refused: bool


class Clock:
    """A moment, as the counters see it."""

    def __init__(self, now: float) -> None:
        self.minute, self.into = divmod(now, MINUTE)
        """The minute of the epoch, and the seconds since it began."""
        self.left = 1 - self.into / MINUTE
        """The share of the minute before that the last 60 seconds still reach into."""

    def taken(self, limit: int, requests: int, earlier: int) -> Rate:
        remaining = math.floor(limit - requests - earlier * self.left)
        return Rate(limit, max(0, remaining), math.ceil(MINUTE - self.into), refused=False)

    def refused(self, limit: int, requests: int, earlier: int) -> Rate:
        return Rate(limit, 0, max(1, math.ceil(self._wait(limit, requests, earlier))), refused=True)

    def _wait(self, limit: int, requests: int, earlier: int) -> float:
        """Seconds until one more fits, if none comes meanwhile."""
        if requests < limit and earlier:
            share = (limit - 1 - requests) / earlier
            return MINUTE * (1 - share) - self.into
        share = (limit - 1) / requests if requests else 1.0
        return MINUTE - self.into + MINUTE * (1 - share)


class Counter:
    """Counts for one worker process, where all of them do. Does I/O, in any thread."""

    def __init__(self, cache: BaseCache | None = None) -> None:
        # One object for all threads. `caches` makes one for each request, and each would connect to Redis anew.
        self._cache = cache or caches.create_connection("default")
        self._rests_until = 0.0

    def count(self, key_id: int, limit: int) -> Rate:
        """Counts a request of the key, unless it is one too many. A database unit."""
        now = time.time()
        if isinstance(self._cache, RedisCache) and now >= self._rests_until:
            try:
                return count_in_cache(self._cache, key_id, limit, now)
            except Exception as error:  # whatever its client raises
                self._rests_until = now + REST
                logger.warning("the cache is away, the database counts requests: %s", type(error).__name__)
        return count_in_database(key_id, limit, now)


counter = Counter()


def count_in_database(key_id: int, limit: int, now: float) -> Rate:
    clock = Clock(now)
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [key_id, int(clock.minute), clock.left, clock.left, limit])
        row = cursor.fetchone()
        if row:
            return clock.taken(limit, *row)
        cursor.execute(READ, [key_id])
        minute, requests, earlier = cursor.fetchone() or (clock.minute, limit, 0)
    if minute < clock.minute:
        requests, earlier = 0, requests
    return clock.refused(limit, requests, earlier)


def count_in_cache(shared: BaseCache, key_id: int, limit: int, now: float) -> Rate:
    """The same with a cache that can count for all workers. Raises what its client raises."""
    clock = Clock(now)
    this, before = (f"requests:{key_id}:{int(clock.minute) - back}" for back in (0, 1))
    shared.add(this, 0, 3 * MINUTE)
    earlier: Any = shared.get(before, 0)
    requests = shared.incr(this)
    if requests + earlier * clock.left <= limit:
        return clock.taken(limit, requests, earlier)
    shared.decr(this)
    return clock.refused(limit, requests - 1, earlier)
