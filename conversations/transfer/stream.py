"""An export on its way to its reader, in chunks that the database is asked for one at a time."""

from collections.abc import AsyncIterator, Callable, Iterator

from django.http import StreamingHttpResponse

from chatproject import db
from conversations.transfer.reading import Chosen, check
from conversations.transfer.writing import WRITERS

CHUNK = 65_536
"""Characters, about: a unit of work ends with the piece that reaches it."""


def take(pieces: Iterator[str]) -> str:
    """Up to CHUNK characters, or one piece if it is larger; empty at the end. A database unit."""
    found: list[str] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= CHUNK:
            break
    return "".join(found)


def begin(chosen: Chosen, pieces: Iterator[str]) -> str:
    """The first chunk. Raises Problem `conversation_not_found`."""
    check(chosen)
    return take(pieces)


async def export(chosen: Chosen, format: str, name: str) -> "ExportStream":
    """Raises what `begin` raises: once the response has begun, all that is left to tell an error is to break off.

    `name` is that of the file, without its end; plain ASCII.
    """
    writer, media_type, suffix = WRITERS[format]
    pieces = writer(chosen)
    first = await db.run(begin, chosen, pieces)
    return ExportStream(first, pieces, content_type=media_type, file=f"{name}.{suffix}")


class ExportStream(StreamingHttpResponse):
    """Holds no connection while its reader takes his time."""

    def __init__(self, first: str, pieces: Iterator[str], *, content_type: str, file: str) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        super().__init__(content_type=content_type, headers=headers)
        self.on_end: Callable[[], None] = lambda: None
        self._next = first
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while self._next:
                yield self._next.encode()
                self._next = await db.run(take, self._pieces)
        finally:
            self.on_end()
