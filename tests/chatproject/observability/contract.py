"""The contract as docs/sentry.md states it: one row of its table for each situation."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.fakes.database import ROOT

Test = TypeVar("Test", bound=Callable[..., Any])

TABLE = re.compile(r"^\| situation \| events \|.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
STATUS = re.compile(r"`(\w+)`(?: for ([\d, ]+))?")
MARK = re.compile(r'^@covers\("([^"]+)"\)\n', re.MULTILINE)


class Row(NamedTuple):
    """What one situation must look like in Sentry."""

    events: int
    statuses: dict[str, str]
    """Of the transaction, by HTTP status; under "" the one that stands for all. None at all: no transaction."""
    spans: int
    """gen_ai spans on the transaction."""


def read_table() -> dict[str, Row]:
    """The rows by situation. What counts in a cell stands before its first semicolon: a number, or statuses."""
    [body] = TABLE.findall((ROOT / "docs" / "sentry.md").read_text())
    rows = {}
    for line in body.splitlines():
        situation, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        events, transaction, spans = (cell.split(";")[0] for cell in cells)
        named = STATUS.findall(transaction)
        statuses = {code: name for name, codes in named for code in re.findall(r"\d+", codes) or [""]}
        rows[situation] = Row(int(events), statuses, int(spans))
    return rows


ROWS = read_table()


def covers(situation: str) -> Callable[[Test], Test]:
    """Marks a test as one of the row's. Raises KeyError when the document has no such row."""
    assert ROWS[situation]
    return lambda test: test


def covered() -> set[str]:
    """The situations that the tests of this folder are marked with, whichever of them run."""
    files = Path(__file__).parent.glob("test_*.py")
    return {situation for file in files for situation in MARK.findall(file.read_text())}
