"""How long a provider asks us to wait, in all the ways in which it can say so."""

import time
from email.utils import formatdate
from typing import Any

import pytest

from providers.waits import LONGEST, wait_of


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "3600"}, 3600),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
        *(({"retry-after": odd}, None) for odd in ("soon", "inf", "nan", "1e999", "", "Wed, 99 Oct 2015 07:28:00 GMT")),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
    ],
)
def test_it_reads_the_headers(headers: dict[str, str], wait: float | None) -> None:
    assert wait_of(headers) == wait


def test_a_date_is_so_far_away_as_it_is() -> None:
    wait = wait_of({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert wait is not None
    assert 90 < wait <= 100


@pytest.mark.parametrize(("delay", "wait"), [("17.3s", 17.3), ("2s", 2), ("soon", None), ("-1s", None), (7, None)])
@pytest.mark.parametrize("listed", [False, True])
def test_it_reads_what_gemini_says_in_the_body(delay: Any, wait: float | None, listed: bool) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.Help"}, {"retryDelay": delay}]
    body: Any = {"error": {"code": 429, "details": details}}
    assert wait_of({}, [body] if listed else body) == wait
    assert wait_of({"retry-after": "1"}, body) == 1


@pytest.mark.parametrize("body", [None, "text", [], {}, {"error": "x"}, {"details": "x"}, {"details": [7]}])
def test_a_body_that_says_nothing_is_no_trouble(body: Any) -> None:
    assert wait_of({}, body) is None


@pytest.mark.parametrize("value", ["1e300", "999999999", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_no_wait_is_longer_than_a_day(value: str) -> None:
    assert wait_of({"retry-after": value}) == LONGEST
