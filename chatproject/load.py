"""How many turns this server has under way: each worker writes its own number where all of them can read it.

Who asks reaches one worker, and wants to know of all. gunicorn's master makes the memory before it forks them, which is
why gunicorn.conf.py imports this module; in a process without a master there is just the one.
"""

import mmap

SLOTS = 1024
"""More than workers are alive at once. They take turns in them, by gunicorn's count of the workers it has started."""


class Load:
    def __init__(self) -> None:
        self._slots = memoryview(mmap.mmap(-1, SLOTS * 4)).cast("I")
        self._mine = 0

    def begin(self, worker: int) -> None:
        """Says which worker this process is."""
        self._mine = worker % SLOTS
        self.turns = 0

    def end(self, worker: int) -> None:
        """That worker is no more, however it ended; for the master to say."""
        self._slots[worker % SLOTS] = 0

    @property
    def turns(self) -> int:
        """Under way in all workers. What is set is this worker's own number."""
        return sum(self._slots)

    @turns.setter
    def turns(self, count: int) -> None:
        self._slots[self._mine] = count


load = Load()
