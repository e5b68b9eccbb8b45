"""The decoder under made-up bytes: cut anywhere it gives the same events, and nothing but its own error comes out."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sse import EventTooLong, SSEDecoder

# Lines as they are, as they nearly are, and noise; the ends of lines of all three kinds.
LINES = st.sampled_from(
    [
        *(b"", b"data", b"data:", b"data: ", b"data: x", b"data:  y", b"data: [DONE]", b"dat", b"DATA: x", b" data: x"),
        *(b"event: error", b"event:message", b"event", b": ping", b"id: 1", b"retry: 5", b"\xff\xfe\x00"),
        "data: ü🌍".encode(),
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b""])
STREAMS = st.lists(st.tuples(LINES | st.binary(max_size=12), ENDS), max_size=12).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


def events(*chunks: bytes) -> list[tuple[type, bytes]]:
    decoder = SSEDecoder()
    found = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [(type(event), bytes(event)) for event in found + decoder.close()]


@settings(max_examples=1_000, deadline=None, database=None)
@given(STREAMS, st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert events(*pieces) == events(stream) == events(*(bytes([byte]) for byte in stream))


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_garbage_raises_nothing_else(chunks: list[bytes]) -> None:
    try:
        found = events(*chunks)
    except EventTooLong:
        return
    assert sum(len(data) for _, data in found) <= sum(map(len, chunks))


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.text().filter(lambda text: not set(text) & set("\r\n")), min_size=1, max_size=5))
def test_what_is_sent_is_what_comes_out(texts: list[str]) -> None:
    stream = b"".join(b"data: " + text.encode(errors="replace") + b"\n\n" for text in texts)
    assert [data for _, data in events(stream)] == [text.encode(errors="replace") for text in texts]
