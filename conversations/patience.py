"""How long an attempt is waited for, at the price of a look at the clock for each token."""

import asyncio
from types import TracebackType
from typing import Self

from providers.registry import Timeouts


class Patience:
    """Ends its `async with` block with TimeoutError when the first token, or a next one, or the turn's end is too late.

    `asyncio.timeout` alone would have to be put off at each token, which takes ten times as long as to note the time.
    """

    def __init__(self, timeouts: Timeouts, deadline: float) -> None:
        """`deadline`: the turn's, on the loop's clock."""
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._deadline = deadline
        self._latest: float | None = None
        self._timeout = asyncio.timeout(None)
        self._started = self._loop.time()
        self._alarm = self._loop.call_at(self._due(), self._look)

    def token(self) -> None:
        """One has come."""
        first, self._latest = self._latest is None, self._loop.time()
        if first:  # the alarm is set for the other time-out
            self._alarm.cancel()
            self._look()

    @property
    def over(self) -> str:
        """Which time-out has run out: `first token`, `silence` or `turn`; empty when none has."""
        if not self._timeout.expired():
            return ""
        if self._due() >= self._deadline:
            return "turn"
        return "first token" if self._latest is None else "silence"

    def _due(self) -> float:
        if self._latest is None:
            return min(self._started + self._timeouts.first_token, self._deadline)
        return min(self._latest + self._timeouts.silence, self._deadline)

    def _look(self) -> None:
        due = self._due()
        if due <= self._loop.time():
            self._timeout.reschedule(due)
        else:
            self._alarm = self._loop.call_at(due, self._look)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        await self._timeout.__aexit__(kind, error, trace)
