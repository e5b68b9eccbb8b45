"""Cursors under made-up texts: each is one of ours to the letter, or an `invalid_cursor`."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from chatproject.pagination import decode, encode
from chatproject.problems import Problem

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="


def read(cursor: str) -> UUID | None:
    """None when it is refused as it should be."""
    try:
        return decode(cursor)
    except Problem as problem:
        if problem.code == "invalid_cursor":
            return None
        raise


@settings(max_examples=500, deadline=None, database=None)
@given(st.uuids())
def test_every_id_comes_back(last: UUID) -> None:
    cursor = encode(last)
    assert decode(cursor) == last
    assert len(cursor) <= 64, "or the parameter would refuse it"
    assert cursor == "".join(letter for letter in cursor if letter in LETTERS[:64]), "it needs no escaping in a URL"


@settings(max_examples=2_000, deadline=None, database=None)
@given(st.text(max_size=64) | st.text(LETTERS, min_size=20, max_size=26))
def test_any_other_text_is_refused(text: str) -> None:
    last = read(text)
    assert last is None or encode(last) == text


@settings(max_examples=500, deadline=None, database=None)
@given(st.uuids(), st.integers(0, 21), st.characters())
def test_no_other_letter_gives_the_same_place(last: UUID, at: int, letter: str) -> None:
    cursor = encode(last)
    changed = cursor[:at] + letter + cursor[at + 1 :]
    assert changed == cursor or read(changed) != last
