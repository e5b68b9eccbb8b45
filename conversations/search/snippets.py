"""The part of a text that shows why it was found."""

import re
from collections.abc import Iterator
from html import escape

from conversations.search.terms import Clause, Query, Term, terms_in

LENGTH = 200
"""Characters of a snippet."""

BEFORE = 60
"""Characters of it before what was found."""

SPACE = re.compile(r"\s+")


def snippet(text: str, query: Query) -> str:
    """About LENGTH characters of the text as HTML: what was found in <mark>, and all else escaped.

    They are around the first place of the longest clause, which is likely to be the rarest.
    """
    terms = list(terms_in(text))
    by_length = sorted(query.clauses, key=lambda clause: -sum(map(len, clause.terms)))
    places = [list(found_in(terms, clause)) for clause in by_length]
    first = next((found[0][0] for found in places if found), 0)
    start, end = window(text, terms, first)
    marked = union(place for found in places for place in found if start <= place[0] and place[1] <= end)
    return html(text, start, end, marked)


def found_in(terms: list[Term], clause: Clause) -> Iterator[tuple[int, int]]:
    """Where the clause stands in the text: start and end, in characters."""
    size = len(clause.terms)
    for i in range(len(terms) - size + 1):
        if terms[i].text.startswith(clause.terms[0][:1]) and matches(terms[i : i + size], clause):
            yield terms[i].start, terms[i].start + 1 if clause.anywhere else terms[i + size - 1].end


def matches(terms: list[Term], clause: Clause) -> bool:
    if clause.anywhere:
        return terms[0].unspaced  # its first character is it
    *row, last = [term.text for term in terms]
    *wanted, end = clause.terms
    return row == wanted and (last.startswith(end) if clause.prefix else last == end)


def window(text: str, terms: list[Term], first: int) -> tuple[int, int]:
    """Where a snippet begins and ends that shows what is found at `first`; between words, if that is near."""
    if len(text) <= LENGTH:
        return 0, len(text)
    earliest = max(0, min(first - BEFORE, len(text) - LENGTH))
    start = 0 if earliest == 0 else next((t.start for t in terms if t.start >= earliest), first)
    latest = start + LENGTH
    end = max((t.end for t in terms if start < t.end <= latest), default=latest)
    return start, len(text) if latest >= len(text) else end


def union(places: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same, in order, without overlaps."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def html(text: str, start: int, end: int, marked: list[tuple[int, int]]) -> str:
    pieces = ["…" if start else ""]
    at = start
    for first, last in marked:
        pieces += [plain(text[at:first]), "<mark>", plain(text[first:last]), "</mark>"]
        at = last
    return "".join([*pieces, plain(text[at:end]), "…" if end < len(text) else ""])


def plain(text: str) -> str:
    return escape(SPACE.sub(" ", text))
