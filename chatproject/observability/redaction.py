"""Cuts out of a text what the user or the configuration supplied, so that the rest of it may travel.

An error's text is worth having, a provider's above all, and may echo the prompt or the key. Whole words go, not
exact matches: an echo may be shortened, re-cased, escaped or glued to something else. So common words go as well
when the prompt has them; that is the price.
"""

import html
import re
import unicodedata
from base64 import b64encode
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import unquote

LIMIT = 300
"""Characters of the result."""

LOOKED_AT = 2_000
"""Characters of the text; what comes after them never shows."""

RUN = 4
"""Characters of a secret in a row, or of a supplied word inside a longer one, that are too many."""

LONG_RUN = 8
"""Characters of an encoded secret in a row that are too many."""

LONGEST_WORD = 40
"""A longer one is no prose but something encoded."""

SUPPLIED_LIMIT = 50_000
"""Characters. Beyond, comparing would hold up the event loop (it takes 20 ms at this length), and hardly a word would
stay."""

CUT = "…"
WORD = re.compile(r"[a-z0-9\x80-\U0010ffff]+", re.I)
BETWEEN_CUTS = re.compile(rf"{CUT}(?:[^a-z0-9{CUT}]*{CUT})+", re.I)
PUNCTUATION = re.compile(r"[^\sa-z0-9\x80-\U0010ffff]{3,}", re.I)
ESCAPE = re.compile(r"\\u\{?([0-9a-f]{1,6})\}?|\\x([0-9a-f]{2})|\\([0-7]{3})|\\([nrtbf])|\\(.)", re.I | re.S)


def redact(text: str, supplied: Iterable[str], secrets: Collection[str] = ()) -> str:
    """`text` without any word that `supplied` or `secrets` may have put there; at most LIMIT characters.

    A word is cut when it occurs inside a supplied string, holds one of its words (of RUN characters or more), is a
    part of a secret that punctuation split, shares RUN characters in a row with one (LONG_RUN when it is encoded), or
    is not ASCII: there are too many ways to write those.
    """
    if not text:
        return ""
    decoded, known, secret = decode(text[:LOOKED_AT]), plain(supplied), plain(secrets)
    if decoded is None or known is None or secret is None:
        return CUT
    ciphers = "\n".join(cipher for text in secrets for cipher in encoded(text))
    words = {word for word in WORD.findall(known) if len(word) >= RUN}

    def keep_or_cut(match: re.Match[str]) -> str:
        word = match[0].casefold()
        if not word.isascii() or len(word) > LONGEST_WORD or word in known:
            return CUT
        shares = is_part(match, secret) or any(run in secret for run in runs(word, RUN))
        shares = shares or any(run in ciphers for run in runs(word, LONG_RUN))
        return CUT if shares or not words.isdisjoint(pieces(word)) else match[0]

    result = WORD.sub(keep_or_cut, decoded.replace(CUT, " "))
    result = BETWEEN_CUTS.sub(CUT, PUNCTUATION.sub(lambda match: match[0][:2], result))
    return result if len(result) <= LIMIT else result[: LIMIT - 1] + CUT


def is_part(match: re.Match[str], secret: str) -> bool:
    """Whether a word short of RUN is a part of a secret: it is one, or has its neighbour there.

    A single character of a key tells nothing, and every key has an "s" for "provider's". Two or three are in many a
    random key by chance, and "in", "bad" or "429" must not go for that; "h78", which no language has, and what stands
    between a key's own dashes must.
    """
    word = match[0].casefold()
    if not 2 <= len(word) < RUN or word not in secret:
        return False
    if not (word.isalpha() or word.isdigit()):
        return True
    before, after = match.string[: match.start()][-1:].casefold(), match.string[match.end() :][:1].casefold()
    neighbours = [text for text in (before + word, word + after) if text.strip() == text and text != word]
    return word in secret.split("\n") or any(text in secret for text in neighbours)


def decode(text: str) -> str | None:
    """`text` without JSON, URL, HTML and backslash escapes, however often applied; None when there is no end to it."""
    for _ in range(5):
        try:
            decoded = ESCAPE.sub(unescape, html.unescape(unquote(text, errors="replace")))
        except ValueError:  # a character's number of thousands of digits
            return None
        if decoded == text:
            return text
        text = decoded
    return None


def unescape(match: re.Match[str]) -> str:
    """The character that an escape stands for. Half a surrogate pair is as good as any that is not ASCII."""
    code, byte, octal, control, other = match.groups()
    if control:
        return " "
    if other:
        return f" {other}" if other.isalnum() else other
    number = int(octal, 8) if octal else int(code or byte, 16)
    return chr(number) if number < 0x80 else "\ufffd"


def plain(texts: Iterable[str]) -> str | None:
    """All of them, as they are and decoded, in the form in which words are compared: casefolded, without accents.

    None when that is too much, or cannot be decoded.
    """
    found: list[str] = []
    length = 0
    for text in texts:
        length += len(text)
        decoded = decode(text) if length <= SUPPLIED_LIMIT else None
        if decoded is None:
            return None
        found += {text, decoded}
    forms = "\n".join(found)
    if not forms.isascii():
        # Word boundaries are not kept: "caf\u00e9" must match an echo that lost its accent.
        forms = unicodedata.normalize("NFKD", forms.casefold()).encode("ascii", "ignore").decode()
    return forms.casefold()


def encoded(secret: str) -> Iterator[str]:
    """In hexadecimal, and in base64 wherever it starts in what is encoded, as after a user's name; casefolded."""
    yield secret.encode().hex()
    for before in range(3):
        yield b64encode(b"-" * before + secret.encode()).decode().casefold()


def runs(word: str, length: int) -> Iterable[str]:
    return (word[start : start + length] for start in range(len(word) - length + 1))


def pieces(word: str) -> Iterable[str]:
    """Every part of it that has RUN characters or more."""
    return (piece for length in range(RUN, len(word) + 1) for piece in runs(word, length))
