"""The images of a message, as a page may show them: what a user sent never becomes a script, or a request by itself."""

from typing import NamedTuple

from conversations.content import DATA_URL, is_image
from providers.base import Part

MAX_INLINE = 5_000_000
"""Characters of images on a page: a browser has to read them all."""


class Picture(NamedTuple):
    """One of the three."""

    src: str = ""
    """A data URL of an image."""
    link: str = ""
    """An https URL. The browser fetches it when somebody follows it, not before."""
    note: str = ""
    """In place of what cannot be shown."""


def pictures(parts: list[Part] | None, room: int) -> list[Picture]:
    """`room` is how many characters of data URLs the page still takes."""
    found: list[Picture] = []
    for part in filter(is_image, parts or []):
        found.append(picture(part["image_url"]["url"], room))
        room -= len(found[-1].src)
    return found


def picture(url: str, room: int) -> Picture:
    if url.startswith("https://"):
        return Picture(link=url)
    if not DATA_URL.match(url):
        return Picture(note="An image whose address is of no known kind.")
    if len(url) > room:
        return Picture(note=f"An image of {len(url) * 3 // 4 // 1000:,} kB: more than this page takes.")
    return Picture(src=url)
