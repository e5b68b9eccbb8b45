"""The part of a text that shows why it was found."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from conversations.search.terms import LONGEST, Clause, Query, Term, terms_in

LENGTH = 200
"""Characters of a snippet."""

BEFORE = 60
"""Characters of it before what was found."""

LOOKED_AT = 20_000
"""Characters of a text that is not ASCII in which the place is looked for; each takes 3 us. Of what
is found beyond them, the text's beginning is shown."""

SPACE = re.compile(r"\s+")


def snippet(text: str, query: Query) -> str:
    """About LENGTH characters of the text as HTML: what was found in <mark>, and all else escaped.

    They are around the first place of the longest clause, which is likely to be the rarest.
    """
    by_length = sorted(query.clauses, key=lambda clause: -sum(map(len, clause.terms)))
    firsts = (first_place(text, clause) for clause in by_length)
    first = next((place for place in firsts if place is not None), 0)
    terms = terms_around(text, first)
    start, end = window(text, terms, first)
    places = (place for clause in by_length for place in found_in(terms, clause))
    return html(text, start, end, union(place for place in places if start <= place[0] and place[1] <= end))


def first_place(text: str, clause: Clause) -> int | None:
    """Where the clause stands first, in characters; of a text that is not ASCII, in its first LOOKED_AT."""
    if not text.isascii():
        return next((start for start, _ in found_in(terms_in(text[:LOOKED_AT]), clause)), None)
    if clause.anywhere or not all(term.isascii() for term in clause.terms):
        return None
    # The same for plain text, a hundred times as fast. A term may be the beginning of a word that was cut.
    words = [re.escape(term) + ("[a-z0-9]*" if len(term) == LONGEST else "") for term in clause.terms]
    row = "[^a-z0-9]+".join(words) + ("" if clause.prefix else "(?![a-z0-9])")
    found = re.search(f"(?<![a-z0-9]){row}", text.lower())
    return found.start() if found else None


def terms_around(text: str, place: int) -> list[Term]:
    """Those that a snippet of what is found at `place` may show. What is cut off at either end is none."""
    start = max(0, min(place - BEFORE, len(text) - LENGTH) - LONGEST)
    end = min(len(text), place + LENGTH + LONGEST)
    terms = (term._replace(start=start + term.start, end=start + term.end) for term in terms_in(text[start:end]))
    return [term for term in terms if (term.start > start or not start) and (term.end < end or end == len(text))]


def found_in(terms: Iterable[Term], clause: Clause) -> Iterator[tuple[int, int]]:
    """Where the clause stands in the text: start and end, in characters."""
    row: deque[Term] = deque(maxlen=len(clause.terms))
    for term in terms:
        row.append(term)
        if len(row) == row.maxlen and row[0].text.startswith(clause.terms[0][:1]) and matches(row, clause):
            yield row[0].start, row[0].start + 1 if clause.anywhere else term.end


def matches(terms: Sequence[Term], clause: Clause) -> bool:
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
