"""The bodies of answers that others send us."""

import aiohttp


async def read(content: aiohttp.StreamReader, most: int) -> bytes:
    """The body, as far as it has come when it is longer than `most` bytes. One that is read to its end gives its
    connection back. Raises as aiohttp does.
    """
    pieces, size = [], 0
    while size <= most and (piece := await content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
