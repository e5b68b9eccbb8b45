"""Events on their way to the reader: together when they are ready together, and a ping in a silence."""

import asyncio
import json

import pytest

from conversations.encoding import encode
from conversations.events import Mailbox


def test_an_event_is_three_fields_and_an_empty_line() -> None:
    assert encode("message.delta", 3, "{}") == b"event: message.delta\nid: 3\ndata: {}\n\n"


async def taken(mailbox: Mailbox, seconds: float = 10) -> list[tuple[str, int, str]]:
    """(name, number, delta) of the events that the reader gets at once."""
    found = []
    for event in ((await mailbox.take(seconds)) or b"").decode().split("\n\n")[:-1]:
        name, number, data = (line.split(": ", 1)[1] for line in event.split("\n"))
        found.append((name, int(number), json.loads(data)["delta"]))
    return found


@pytest.mark.parametrize("text", ["a", "two\nlines", "\r\n", "\u2028", 'a "quote"', "Grüße 🌍", "data: x\n\n", ""])
def test_a_delta_is_one_line_of_data_whatever_its_text(text: str) -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        mailbox.text(text)
        event = await mailbox.take(10)
        assert event is not None
        assert b"\r" not in event
        name, number, data, *end = event.decode().split("\n")
        assert (name, number, end) == ("event: message.delta", "id: 1", ["", ""])
        assert json.loads(data.removeprefix("data: ")) == {"delta": text}

    asyncio.run(scene())


def test_reasoning_has_an_event_of_its_own() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        mailbox.reasoning("Hm.")
        mailbox.text("Yes.")
        assert await taken(mailbox) == [("message.reasoning", 1, "Hm."), ("message.delta", 2, "Yes.")]

    asyncio.run(scene())


def test_the_reader_gets_all_texts_that_are_ready() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        mailbox.text("a")
        mailbox.text("b")
        assert await taken(mailbox) == [("message.delta", 1, "a"), ("message.delta", 2, "b")]
        mailbox.text("c")
        mailbox.close()
        assert await taken(mailbox) == [("message.delta", 3, "c")], "the end comes after the last text"
        assert await mailbox.take(10) is None
        assert await mailbox.take(10) is None

    asyncio.run(scene())


def test_a_waiting_reader_gets_a_text_at_once() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(taken(mailbox, 60))
        await asyncio.sleep(0)
        mailbox.text("a")
        mailbox.text("b")
        assert [text for _, _, text in await asyncio.wait_for(reader, 5)] == ["a", "b"]

    asyncio.run(scene())


def test_a_waiting_reader_learns_of_the_end_at_once() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take(60))
        await asyncio.sleep(0)
        mailbox.close()
        assert await asyncio.wait_for(reader, 5) is None

    asyncio.run(scene())


def test_silence_is_an_empty_chunk_which_becomes_a_ping() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        assert await mailbox.take(0.01) == b""
        mailbox.text("a")
        assert await taken(mailbox, 0.01) == [("message.delta", 1, "a")]

    asyncio.run(scene())


def test_a_reader_who_leaves_while_waiting_leaves_nothing_behind() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take(60))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        mailbox.text("a")
        assert await taken(mailbox, 60) == [("message.delta", 1, "a")]

    asyncio.run(scene())
