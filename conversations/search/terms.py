"""Text as search terms: without case and accents, and in scripts that put no spaces between words, pairs of characters.

"Le Café 東京都" -> le, cafe, 東京, 京都, 都. A run of such characters becomes its overlapping pairs, and its last
character alone. So any part of it is a sequence of pairs, and a word in the middle of a sentence is found without
anybody knowing where words begin (as in Lucene's CJKAnalyzer).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple

LONGEST = 64
"""Characters of a term; longer words are cut."""

MAX_TERMS = 16_000
"""Of one text. Positions in a tsvector end at 16,383."""

MAX_CHARS = 100_000
"""Of the terms of one text together. A tsvector ends at a megabyte."""


def marks() -> str:
    """The combining characters, as a part of a character class: `\\w` lacks them, though words of India have many."""
    codes = (code for code in range(0x10000) if unicodedata.category(chr(code)).startswith("M"))
    ranges = [list(run) for _, run in groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in ranges)


UNSPACED = (
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3105-\u312f\u31a0-\u31bf\ua000-\ua4cf"  # bopomofo, Yi
    "\u1100-\u11ff\uac00-\ud7ff"  # Korean, whose particles are written onto the words
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f\u1780-\u17d3"  # Thai, Lao, Burmese, Khmer
)
WORD = re.compile(rf"(?:[^\W_]|[{marks()}])+")
PLAIN_WORD = re.compile("[a-z0-9]+")
RUN = re.compile(rf"([{UNSPACED}]+)|[^{UNSPACED}]+")

MANY_MARKS = re.compile(rf"([{marks()}]{{30}})[{marks()}]+")
"""More in a row than any writing has (https://unicode.org/reports/tr15/#Stream_Safe_Text_Format). Sorting them takes
normalize() a time that grows with their square: seconds, in which nothing else runs."""

# Of Latin, Greek and Cyrillic, Hebrew, Arabic. Elsewhere combining characters are letters.
ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\ufe20-\ufe2f]+"
)
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe"})  # noqa: RUF001
"""Accented for a reader, letters of their own for Unicode."""


class Term(NamedTuple):
    text: str
    start: int
    end: int
    """Where it stands in the text, in characters."""
    unspaced: bool
    """Whether it is of a script without spaces: a pair of characters, or the last one of a run."""


def normal(text: str) -> str:
    """Without case, accents and variants of form. Not of the same length."""
    if text.isascii():
        return text.lower()
    text = MANY_MARKS.sub(r"\1", text)
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", folded)).translate(LETTERS)
    return unicodedata.normalize("NFKC", plain).casefold()


def terms_in(text: str) -> Iterator[Term]:
    """The terms of a text, in its order."""
    for word in WORD.finditer(text):
        chars = word[0]
        if chars.isascii():
            yield Term(chars.lower()[:LONGEST], word.start(), word.end(), False)
        else:
            yield from _parts(chars, word.start())


def _parts(word: str, offset: int) -> Iterator[Term]:
    plain = normal(word)
    aligned = len(plain) == len(word)
    """Whether its characters stand where the word's do. Else each of the terms stands for the whole of it."""
    for part in WORD.finditer(plain):  # again: the ligature of `a/c`, for one, has come apart
        for run in RUN.finditer(part[0]):
            first = part.start() + run.start()
            for start, end in _cut(run):
                where = (offset + first + start, offset + first + end) if aligned else (offset, offset + len(word))
                yield Term(run[0][start : min(end, start + LONGEST)], *where, unspaced=run[1] is not None)


def _cut(run: re.Match[str]) -> Iterable[tuple[int, int]]:
    size = len(run[0])
    return [(i, min(i + 2, size)) for i in range(size)] if run[1] else [(0, size)]


class Indexed(NamedTuple):
    """What the index holds of a text."""

    terms: list[str]
    """In the order of the text."""
    characters: set[str]
    """Those of scripts without spaces, for a search for a single one."""


def indexed(text: str) -> Indexed:
    """At most MAX_TERMS, of MAX_CHARS; what comes after them cannot be found."""
    if text.isascii() and len(text) <= MAX_CHARS:  # the same, ten times as fast
        return Indexed([word[:LONGEST] for word in PLAIN_WORD.findall(text.lower())][:MAX_TERMS], set())
    found = Indexed([], set())
    left = MAX_CHARS
    for term in terms_in(text):
        left -= len(term.text)
        if left < 0 or len(found.terms) == MAX_TERMS:
            break
        found.terms.append(term.text)
        if term.unspaced:
            found.characters.add(term.text[0])
    return found


class Clause(NamedTuple):
    """Terms that stand in a row."""

    terms: tuple[str, ...]
    anywhere: bool = False
    """Whether it is a single character that is not in `Indexed.terms`, but in `Indexed.characters`."""
    prefix: bool = False
    """Whether the last term may go on."""


SHORTEST_PREFIX = 3
QUOTES = str.maketrans("“”„«»", '"""""')
PIECE = re.compile(r'"([^"]+)"|([^\s"]+)')


class Query(NamedTuple):
    clauses: tuple[Clause, ...]
    """All have to match; none when there was nothing to search for."""
    open: bool = False
    """Whether the last one may be the beginning of a word."""

    def extended(self) -> "Query":
        """With words that go on after the last one's end."""
        *others, last = self.clauses
        return Query((*others, last._replace(prefix=True)))


def parse(text: str) -> Query:
    """What a user searches for: words, "phrases". Any text is a query, and nothing in it is an operator."""
    pieces = [(piece[1], piece[2]) for piece in PIECE.finditer(text.translate(QUOTES))]
    found = list(chain.from_iterable(clauses_of(quoted or word) for quoted, word in pieces))
    last = found[-1] if found else None
    is_open = last is not None and not pieces[-1][0] and not last.anywhere and is_word(last.terms[-1])
    return Query(tuple(dict.fromkeys(reversed(found)))[::-1], is_open)


def is_word(term: str) -> bool:
    """Whether words may begin with it: long enough, and of a script that has words."""
    return len(term) >= SHORTEST_PREFIX


def clauses_of(piece: str) -> list[Clause]:
    """A word, or several that stand in a row. A single character at the end may be part of a run, a pair's second
    character is part of the pair."""
    terms = list(terms_in(piece))
    if not terms:
        return []
    *before, last = terms
    if not last.unspaced or len(last.text) > 1:
        return [Clause((*(term.text for term in before), last.text))]
    row = tuple(term.text for term in before)
    if row and before[-1].unspaced and before[-1].text[1:] == last.text:
        return [Clause(row)]
    return [*([Clause(row)] if row else []), Clause((last.text,), anywhere=True)]
