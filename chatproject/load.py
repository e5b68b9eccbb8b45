"""What the workers of this server have under way: each writes its own numbers where all of them can read them.

Who asks reaches one worker, and wants to know of all. gunicorn's master makes the memory before it forks them, which is
why gunicorn.conf.py imports this module; in a process without a master there is just the one.
"""

import mmap

SLOTS = 1024
"""More than workers are alive at once. They take turns in them, by gunicorn's count of the workers it has started."""

ALONE = 64
"""Connections that a worker without others takes at once, before it goes on with those it has."""


class Load:
    def __init__(self) -> None:
        self._turns, self._connections = shared(), shared()
        self._mine = 0

    def begin(self, worker: int) -> None:
        """Says which worker this process is."""
        self._mine = worker % SLOTS
        self.end(worker)

    def end(self, worker: int) -> None:
        """That worker is no more, however it ended; for the master to say."""
        self._turns[worker % SLOTS] = self._connections[worker % SLOTS] = 0

    @property
    def turns(self) -> int:
        """Under way in all workers. What is set is this worker's own number."""
        return sum(self._turns)

    @turns.setter
    def turns(self, count: int) -> None:
        self._turns[self._mine] = count

    def listen(self) -> None:
        """This worker takes connections from now on. What is written is one more than it has: with 0 it takes none."""
        self._connections[self._mine] = 1

    def listen_no_more(self) -> None:
        self._connections[self._mine] = 0

    def connected(self) -> None:
        if self._connections[self._mine]:
            self._connections[self._mine] += 1

    def disconnected(self) -> None:
        if self._connections[self._mine] > 1:
            self._connections[self._mine] -= 1

    @property
    def room(self) -> int:
        """How many connections this worker may take now, so that it does not have many more than the one with the
        fewest; 0 or less when it has.
        """
        listening = [count for count in self._connections.tolist() if count]
        if len(listening) < 2:
            return ALONE
        fewest = min(listening)
        return fewest + 1 + fewest // 8 - self._connections[self._mine]


def shared() -> "memoryview[int]":
    return memoryview(mmap.mmap(-1, SLOTS * 4)).cast("I")


load = Load()
