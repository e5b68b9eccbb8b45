"""Events on their way to the reader: together when they are ready together, and a ping in a silence."""

import asyncio
import json

import pytest

from conversations.events import Mailbox, delta, encode


def test_an_event_is_three_fields_and_an_empty_line() -> None:
    assert encode("message.delta", 3, "{}") == b"event: message.delta\nid: 3\ndata: {}\n\n"


@pytest.mark.parametrize("text", ["a", "two\nlines", "\r\n", "\u2028", 'a "quote"', "Grüße 🌍", "data: x\n\n", ""])
def test_a_delta_is_one_line_of_data_whatever_its_text(text: str) -> None:
    name, number, data, *end = delta(1, text).decode().split("\n")
    assert (name, number, end) == ("event: message.delta", "id: 1", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {"delta": text}
    assert b"\r" not in delta(1, text)


def test_the_reader_gets_all_texts_that_are_ready() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        mailbox.put("a")
        mailbox.put("b")
        assert await mailbox.take(10) == ["a", "b"]
        mailbox.put("c")
        mailbox.close()
        assert await mailbox.take(10) == ["c"], "the end comes after the last text"
        assert await mailbox.take(10) is None
        assert await mailbox.take(10) is None

    asyncio.run(scene())


def test_a_waiting_reader_gets_a_text_at_once() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take(60))
        await asyncio.sleep(0)
        mailbox.put("a")
        mailbox.put("b")
        assert await asyncio.wait_for(reader, 5) == ["a", "b"]

    asyncio.run(scene())


def test_a_waiting_reader_learns_of_the_end_at_once() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take(60))
        await asyncio.sleep(0)
        mailbox.close()
        assert await asyncio.wait_for(reader, 5) is None

    asyncio.run(scene())


def test_silence_is_an_empty_list_which_becomes_a_ping() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        assert await mailbox.take(0.01) == []
        mailbox.put("a")
        assert await mailbox.take(0.01) == ["a"]

    asyncio.run(scene())


def test_a_reader_who_leaves_while_waiting_leaves_nothing_behind() -> None:
    async def scene() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.take(60))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        mailbox.put("a")
        assert await mailbox.take(60) == ["a"]

    asyncio.run(scene())
