"""The keys that this worker has looked up within the last seconds, so that not every request asks the database."""

import time
from collections.abc import Callable
from hashlib import sha256

from django.conf import settings

from chatproject.apikeys.models import ApiKey

MOST = 10_000
"""Keys that a worker knows; then it begins anew."""


class Known:
    """Each for CHAT_KEY_CACHE_SECONDS: how long what happens to a key may take to be felt. For the event loop alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        """In seconds."""
        self._keys: dict[bytes, tuple[float, ApiKey]] = {}
        """By the SHA-256 of what was sent; until when, and which."""

    def get(self, plain: str) -> ApiKey | None:
        until, key = self._keys.get(digest(plain), (0.0, None))
        return key if self._clock() < until else None

    def add(self, plain: str, key: ApiKey) -> None:
        """Not one whose requests are counted: each has to come to the database."""
        if not settings.CHAT_KEY_CACHE_SECONDS or key.rate is not None:
            return
        if len(self._keys) >= MOST:
            self._keys.clear()
        self._keys[digest(plain)] = self._clock() + settings.CHAT_KEY_CACHE_SECONDS, key


def digest(plain: str) -> bytes:
    return sha256(plain.encode(errors="surrogateescape")).digest()


known = Known()
