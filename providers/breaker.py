"""The circuit breaker: a model of a provider that keeps failing gets a pause, instead of every user's turn.

A circuit opens after CHAT_CIRCUIT_FAILURES failures in a row, all workers' together, or when half of a worker's
attempts of the last minute failed. After its pause one probe in the whole deployment finds out whether the provider is
back. A healthy turn costs no I/O: a worker decides by its own view of the shared circuits, about a second old at most.
"""

import threading
from functools import cache

from django.conf import settings

from providers.circuit_breaker import Breaker, Trouble
from providers.circuit_store import Store
from providers.circuits import Event, Key, Rules

PROBE_MARGIN = 30.0
"""Seconds beyond the longest possible turn at which a probe counts as dead."""

_making = threading.Lock()


@cache
def _make() -> Breaker:
    turns = [settings.CHAT_TIMEOUTS.turn, *(row.timeouts.turn for row in settings.CHAT_PROVIDERS.values())]
    rules = Rules(settings.CHAT_CIRCUIT_FAILURES, settings.CHAT_CIRCUIT_SECONDS)
    return Breaker(rules, Store(), probe_seconds=max(turns) + PROBE_MARGIN)


def worker() -> Breaker:
    """This process's breaker."""
    with _making:  # or two threads that come at once would each get their own
        return _make()


async def admit(provider: str, label: str, model: str) -> None:
    """Lets an attempt pass. Raises CircuitOpen with `retry_after`, at least 1 second, while the circuit is open.

    Every attempt that passes ends in one of succeeded(), failed() and released(), in the task that called this or in
    one that it has made.
    """
    await worker().admit(Key(provider, model), label)


async def succeeded(provider: str, model: str) -> None:
    await worker().report(Event.SUCCEEDED, Key(provider, model))


async def failed(provider: str, model: str, code: str) -> None:
    """The provider was at fault; `code` is a ProviderError's."""
    await worker().report(Event.FAILED, Key(provider, model), code)


async def released(provider: str, model: str) -> None:
    """The attempt told nothing of the provider's health: it was cancelled, or the request was at fault."""
    await worker().report(Event.RELEASED, Key(provider, model))


def refresh() -> None:
    """Looks at the shared circuits, if the last look is older than a second: then the turn's admit() needs no I/O of
    its own. In a database thread. Does nothing in a transaction, so call it before one begins.
    """
    worker().refresh()


async def troubles(provider: str) -> list[Trouble]:
    """The provider's circuits that are not closed, by the shared state of now."""
    await worker().look_soon()
    return [trouble for trouble in worker().troubles() if trouble.key.provider == provider]
