"""Cursors: every row once, in order, whatever is inserted meanwhile."""

import base64
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from uuid_utils.compat import uuid7

from chatproject.pagination import decode, encode, page
from chatproject.problems import Problem
from conversations.models import Conversation


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create(username="owner")


def add(owner: User, count: int) -> list[Conversation]:
    return [Conversation.objects.create(owner=owner, provider="p", model="m") for _ in range(count)]


def walk(*, limit: int, newest_first: bool) -> list[list[Conversation]]:
    pages, cursor = [], None
    while True:
        rows, cursor = page(Conversation.objects.all(), limit=limit, cursor=cursor, newest_first=newest_first)
        pages.append(rows)
        if cursor is None:
            return pages


@pytest.mark.parametrize(
    ("rows", "limit", "sizes"), [(0, 2, [0]), (2, 2, [2]), (3, 2, [2, 1]), (4, 2, [2, 2]), (5, 100, [5])]
)
def test_it_gives_every_row_once_and_no_empty_last_page(owner: User, rows: int, limit: int, sizes: list[int]) -> None:
    made = add(owner, rows)
    pages = walk(limit=limit, newest_first=False)
    assert [len(p) for p in pages] == sizes
    assert [row for p in pages for row in p] == made


def test_newest_first_is_the_other_way_round(owner: User) -> None:
    made = add(owner, 5)
    assert [row for p in walk(limit=2, newest_first=True) for row in p] == made[::-1]


def test_the_next_page_stays_the_same_when_rows_are_inserted(owner: User) -> None:
    made = add(owner, 4)
    first, cursor = page(Conversation.objects.all(), limit=2, cursor=None, newest_first=True)
    add(owner, 3)
    second, cursor = page(Conversation.objects.all(), limit=2, cursor=cursor, newest_first=True)
    assert first + second == made[::-1]
    assert cursor is None


def test_the_row_of_a_cursor_may_be_deleted(owner: User) -> None:
    made = add(owner, 4)
    first, cursor = page(Conversation.objects.all(), limit=2, cursor=None, newest_first=False)
    first[-1].delete()
    second, _ = page(Conversation.objects.all(), limit=2, cursor=cursor, newest_first=False)
    assert second == made[2:]


def test_a_cursor_is_read_back() -> None:
    last = uuid7()
    assert decode(encode(last)) == last


# One and the same at every collection: several processes must agree on the names of the tests.
ID = UUID("01935b2c-7a4e-7c11-8d2f-3b5a6c7d8e9f")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        "ä" * 22,
        "a" * 22 + "=",
        str(ID),
        base64.urlsafe_b64encode(b"too short").decode(),
        base64.urlsafe_b64encode(bytes(16)).decode(),  # with its padding: not as we gave it
        encode(ID) + "\n",
        " " + encode(ID),
        encode(ID)[:-1] + "\x00",
    ],
)
def test_it_refuses_a_cursor_that_is_not_one_of_ours(cursor: str) -> None:
    with pytest.raises(Problem) as problem:
        decode(cursor)
    assert (problem.value.code, problem.value.status) == ("invalid_cursor", 400)
