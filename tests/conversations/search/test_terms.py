"""Text as search terms, and what is shown of it."""

import re
from html import unescape

from hypothesis import example, given
from hypothesis import strategies as st

from conversations.search.snippets import LENGTH, first_place, found_in, snippet
from conversations.search.terms import (
    LONGEST,
    MAX_CHARS,
    MAX_TERMS,
    WORD,
    indexed,
    normal,
    parse,
    terms_in,
)

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
asian = st.text("東京都庁へ行きました我喜欢编程和音乐안녕하세요ไทยガギー", min_size=1, max_size=30)


def terms(text: str) -> list[str]:
    return [term.text for term in terms_in(text)]


def test_words_lose_case_and_accents() -> None:
    assert terms("Crème BRÛLÉE, Straße; ŁÓDŹ İzmir ΣΊΣΥΦΟΣ Ёлка") == [
        *("creme", "brulee", "strasse", "lodz", "izmir", "σισυφοσ", "елка")
    ]


def test_forms_of_the_same_character_are_one() -> None:
    assert terms("ｶﾞｲﾄﾞ ﬁx \uff12\uff10\uff12\uff15 é") == terms("ガイド fix 2025 e\u0301")


def test_scripts_without_spaces_become_pairs() -> None:
    assert terms("iPhone手机 第3章") == ["iphone", "手机", "机", "第", "3", "章"]


@given(storable)
@example("½ ℀ ﷺ ǰ ΐ")
def test_terms_are_words_alone_and_stay_as_they_are(text: str) -> None:
    for term in terms_in(text):
        assert WORD.fullmatch(term.text), term
        assert "_" not in term.text
        assert 0 < len(term.text) <= LONGEST
        assert 0 <= term.start < term.end <= len(text)
        assert normal(term.text) == term.text


@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_plain_text_takes_a_short_cut_to_the_same_terms(text: str) -> None:
    assert indexed(text).terms == terms(text)


def test_long_texts_are_cut() -> None:
    assert len(indexed("a " * MAX_TERMS * 2).terms) == MAX_TERMS
    assert len(indexed("好" * MAX_TERMS * 2).terms) == MAX_TERMS
    assert sum(map(len, indexed(("ﷺ" * 60 + " ") * 2000).terms)) <= MAX_CHARS
    assert terms("x" * 1000) == ["x" * LONGEST]


def matches(text: str, q: str) -> bool:
    """What the databases do."""
    found = indexed(text)
    row = f" {' '.join(found.terms)} "
    clauses = parse(q).clauses
    return bool(clauses) and all(
        clause.terms[0] in found.characters if clause.anywhere else f" {' '.join(clause.terms)} " in row
        for clause in clauses
    )


@given(asian, st.data())
def test_any_part_of_a_text_without_spaces_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert matches(text, text[start:end]) or not terms(text[start:end])
    assert matches(f"so {text}: yes", f'"{text[start:]}"') or not terms(text[start:])


@given(storable, st.data())
def test_any_word_of_a_text_is_found(text: str, data: st.DataObject) -> None:
    words = [word for word in text.replace('"', " ").split() if terms(word)]
    if words:
        assert matches(text, data.draw(st.sampled_from(words)).upper().lower())


def test_a_query_is_words_and_phrases() -> None:
    query = parse('le "Petit Prince" don\'t “to be” 世 cafe')
    rows = [clause.terms for clause in query.clauses]
    assert rows == [("le",), ("petit", "prince"), ("don", "t"), ("to", "be"), ("世",), ("cafe",)]
    assert query.open
    assert query.extended().clauses[-1].prefix
    assert not any(parse(q).open for q in ('"cafe"', "ca", "京都府", "", "cafe 世"))


queries = st.one_of(storable, st.text("ab \"'世界é", max_size=10))


@given(st.one_of(storable, st.text("abc é世界 <&>\n", max_size=800)), queries)
@example("a" * 1000, "a")
@example("x " * 500 + "needle" + " y" * 500, "needle x")
def test_a_snippet_is_a_part_of_the_text_with_marks_and_no_other_elements(text: str, q: str) -> None:
    shown = snippet(text, parse(q))
    assert not re.search(r"<(?!/?mark>)", shown)
    assert shown.count("<mark>") == shown.count("</mark>")
    plain = unescape(re.sub(r"</?mark>", "", shown))
    assert len(plain) <= LENGTH + 2
    assert re.sub(r"\s+", " ", plain.removeprefix("…").removesuffix("…")) in re.sub(r"\s+", " ", text)
    if matches(text, q) and len(text) < LENGTH:
        assert "<mark>" in shown


def test_a_snippet_shows_the_place_of_the_rarest_word() -> None:
    text = "The beginning. " * 40 + "Here is the needle in it. " + "The end. " * 40
    shown = snippet(text, parse("the needle"))
    assert "is <mark>the</mark> <mark>needle</mark> in" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_snippet_shows_the_place_in_a_long_text_as_well() -> None:
    for filler in ("plain words ", "schöne Wörter "):
        text = filler * 1_000 + "needle in a haystack " + filler * 1_000
        shown = snippet(text, parse("needle haystack"))
        assert "<mark>needle</mark> in a <mark>haystack</mark>" in shown
        assert len(shown) < LENGTH + 50
    at_the_end = "x" * 300 + " " + "word " * 100 + "needle"
    assert snippet(at_the_end, parse("needle")).endswith("word <mark>needle</mark>")


@given(st.text("ab 1.", max_size=600), st.text("ab 1.", max_size=4))
def test_plain_texts_short_cut_finds_the_same_place(text: str, q: str) -> None:
    for clause in parse(q).clauses:
        slow = next((start for start, _ in found_in(terms_in(text), clause)), None)
        assert first_place(text, clause) == slow


def test_thousands_of_marks_on_one_letter_take_no_time() -> None:
    """normalize() took seconds, with everything else standing still; with the tests' own limit it would not end."""
    text = "a" + "\u0301\u0316" * 2_000_000
    assert normal(text) == normal("a" + "\u0301\u0316" * 15)
