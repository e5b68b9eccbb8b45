"""The decoder of server-sent events: the same events however the bytes are cut."""

import pytest

from providers.sse import LONGEST_EVENT, ErrorData, EventTooLong, SSEDecoder

STREAM = (
    ": a comment\n"
    "event: message\n"
    "id: 7\n"
    'data: {"text": "Grüße 🌍"}\n'
    "\n"
    "data:no space\n"
    "\n"
    "data: first line\n"
    "data:  second line\n"
    "data\n"
    "\n"
    ": lonely comment\n"
    "\n"
    "data: [DONE]\n"
    "\n"
)
EVENTS = ['{"text": "Grüße 🌍"}', "no space", "first line\n second line", "[DONE]"]


def decode(chunks: list[bytes]) -> list[str]:
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [event.decode() for event in events + decoder.close()]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
def test_it_decodes_a_stream_cut_into_pieces_of_any_size(newline: str, size: int) -> None:
    stream = STREAM.replace("\n", newline).encode()
    assert decode([stream[i : i + size] for i in range(0, len(stream), size)]) == EVENTS


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_it_decodes_a_stream_cut_in_two_at_any_byte(newline: str) -> None:
    stream = STREAM.replace("\n", newline).encode()
    for cut in range(len(stream) + 1):
        assert decode([stream[:cut], stream[cut:]]) == EVENTS, f"cut at byte {cut}"


def test_it_hands_an_event_on_as_soon_as_it_is_complete() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: one\n") == []
    assert decoder.feed(b"\n") == [b"one"]
    assert decoder.feed(b"data: two\n\ndata: thr") == [b"two"]
    assert decoder.feed(b"ee\n\n") == [b"three"]
    assert decoder.close() == []


def test_it_takes_the_two_halves_of_a_crlf_as_one_line_end() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: one\r") == []
    assert decoder.feed(b"\ndata: more\r") == []
    assert decoder.feed(b"\n\r\n") == [b"one\nmore"]


def test_it_hands_on_the_last_event_of_a_stream_that_ends_without_an_empty_line() -> None:
    assert decode([b"data: one\n\ndata: two"]) == ["one", "two"]
    assert decode([b"data: one\n\ndata: two\r"]) == ["one", "two"]
    assert decode([b"data: one\n"]) == ["one"]


def test_it_keeps_the_newlines_that_a_json_string_escapes() -> None:
    assert decode([b'data: {"text": "a\\nb"}\n\n']) == ['{"text": "a\\nb"}']


def test_it_makes_nothing_of_a_body_that_is_no_event_stream() -> None:
    assert decode([b"<html>\n\n<body>data: no</body>\n\n</html>"]) == []


def test_it_takes_a_long_event_in_many_pieces() -> None:
    piece = b"x" * 1_000
    chunks = [b"data: ", *[piece] * 5_000, b"\n\n"]
    assert decode(chunks * 3) == ["x" * 5_000_000] * 3


@pytest.mark.parametrize("piece", [b"x" * 1_000, b"data: " + b"x" * 1_000 + b"\n", b"x" * 999 + b"\n"])
def test_it_refuses_an_event_without_end(piece: bytes) -> None:
    with pytest.raises(EventTooLong):
        decode([piece] * (LONGEST_EVENT // len(piece) + 1))


def test_comments_may_go_on_for_ever() -> None:
    decoder = SSEDecoder()
    for _ in range(LONGEST_EVENT // 1_000 + 1):
        assert decoder.feed(b": " + b"x" * 1_000 + b"\n\n") == []


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_it_marks_the_data_of_an_event_that_is_named_error(size: int) -> None:
    stream = b"event: message\ndata: a\n\nevent:error\ndata: b\ndata: c\n\ndata: d\n\nevent: error\n\ndata: e\n\n"
    decoder = SSEDecoder()
    events = [event for i in range(0, len(stream), size) for event in decoder.feed(stream[i : i + size])]
    assert [(event, type(event)) for event in events] == [
        (b"a", bytes),
        (b"b\nc", ErrorData),
        (b"d", bytes),
        (b"e", bytes),
    ]
