"""The events of a detached turn on their way into the database."""

from typing import NamedTuple
from uuid import UUID

LARGEST = 256 * 1024
"""Bytes of events after which a batch is full: a reader of them holds a few at a time."""


class Batch(NamedTuple):
    """What becomes an EventBatch."""

    message_id: UUID
    first: int
    last: int
    data: str


class Keeper:
    """Holds what is not yet known to be in the database, in its order. Used from the event loop alone.

    A batch that was handed out stays as it is until it is written: when the database's answer was lost, it may be
    there already, and is then not written a second time.
    """

    def __init__(self, message_id: UUID) -> None:
        self.number = 0
        """Of the latest event. The first, 0, is stored with the turn's start."""
        self._message_id = message_id
        self._open: list[bytes] = []
        self._handed_out: list[Batch] = []
        self._closed = False

    def add(self, event: bytes) -> None:
        self._open.append(event)
        self.number += 1

    def due(self) -> list[Batch]:
        """What is to be written now; nothing once the turn has ended, since its end takes the rest along."""
        if self._closed:
            return []
        if not self._handed_out:
            self._handed_out, self._open = self._packed(self._open), []
        return self._handed_out

    def written(self) -> None:
        """What `due` gave last is in the database."""
        self._handed_out = []

    def close(self, last: bytes) -> list[Batch]:
        """All that may not be written yet, and the turn's last event. Again, when that has changed."""
        self._closed = True
        return [*self._handed_out, *self._packed([*self._open, last])]

    def _packed(self, events: list[bytes]) -> list[Batch]:
        """`events` end with the latest, or with the last one, that follows it."""
        number = self.number + int(self._closed) - len(events) + 1
        batches, batch, size = [], list[bytes](), 0
        for event in events:
            batch.append(event)
            size += len(event)
            if size >= LARGEST:
                batches.append(self._batch(number, batch))
                number, batch, size = number + len(batch), [], 0
        return [*batches, self._batch(number, batch)] if batch else batches

    def _batch(self, first: int, events: list[bytes]) -> Batch:
        return Batch(self._message_id, first, first + len(events) - 1, b"".join(events).decode())
