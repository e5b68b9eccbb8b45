"""The facts of an examination as text: tables of at most 110 columns, coloured when the caller's `Paint` does."""

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

Facts = dict[str, Any]
Paint = Callable[[str, str], str]
"""(role, text) -> text, where the role is one of those below."""

HEAD, GOOD, BAD, ODD = "head", "good", "bad", "odd"

LINE_WIDTH = 110
LABEL, ITEM, FATE, HTTP = 14, 14, 15, 6
"""Widths of the columns."""

ROLES = {"accepted": GOOD, "stored": GOOD, "ignored": ODD, "not_sent": ODD}
"""Of a fate; any other is BAD."""

NOT_OK = {
    "accepted": "was accepted, but is not known to be stored",
    "rejected": "was rejected",
    "rate_limited": "was rate limited",
    "ignored": "is ignored by this server",
    "no_answer": "had no answer",
    "not_sent": "was not sent",
}


def text_of(facts: Facts, paint: Paint) -> str:
    sections = [configuration, would_send] if facts["dry_run"] else [configuration, items, event]
    return "\n\n".join(
        "\n".join(lines) for section in [*sections, odd, result] if (lines := list(section(facts, paint)))
    )


def configuration(facts: Facts, paint: Paint) -> Iterator[str]:
    shown = facts["configuration"]
    yield paint(HEAD, "Configuration")
    yield from row("DSN", shown["dsn"] or "none: Sentry is off")
    yield from row("environment", shown["environment"])
    yield from row("release", shown["release"] or "none")
    yield from row("tracing", share(shown["traces_sample_rate"], "requests"))
    yield from row("profiling", share(shown["profiles_sample_rate"], "worker processes, of their traced work"))
    yield from row("Sentry logs", "our log lines are sent" if shown["logs"] else "not sent")
    yield from row("PII", "users and IP addresses are sent" if shown["send_default_pii"] else "not sent")
    yield from row("prompts", "message text is sent" if shown["include_prompts"] else "not sent")
    yield from row("proxy", shown["proxy"])
    yield from row("API", f"{shown['api']}, with a token" if shown["auth_token"] else "no SENTRY_AUTH_TOKEN: not asked")


def would_send(facts: Facts, paint: Paint) -> Iterator[str]:
    yield paint(HEAD, "Would be sent (--json shows the payloads)")
    for item in facts["would_send"]:
        yield f"  {item['item']:<{ITEM}}{item['type']:<{FATE}}{item['bytes']} bytes"


def items(facts: Facts, paint: Paint) -> Iterator[str]:
    yield paint(HEAD, "Sent" if facts["server"] == "unknown" else f"Sent (the server is {facts['server']})")
    said: list[str] = []
    for item in facts["items"]:
        start = f"  {item['item']:<{ITEM}}"
        fate = paint(ROLES.get(item["fate"], BAD), f"{item['fate'].replace('_', ' '):<{FATE}}")
        words = [item["reason"], quoted(item), item["fix"] and f"-> {item['fix']}"]
        # What is wrong with one is mostly wrong with all: said once.
        shown, said = (["The same."] if words == said and item["fix"] else words), words
        first, *more = columns(" " * (2 + ITEM + FATE), f"{item['status'] or '-':<{HTTP}}", shown)
        yield start + fate + first.lstrip()
        yield from more
    for limit in facts["rate_limits"]:
        yield from row("limit", limit_words(limit))


def event(facts: Facts, paint: Paint) -> Iterator[str]:
    if not facts["event_id"]:
        return
    yield paint(HEAD, "Error event")
    yield from row("id", facts["event_id"])
    yield from row("page", facts["event_url"])
    if stored := facts["storage"]:
        role = GOOD if stored["state"] == "stored" else BAD
        yield from row("stored", stored["reason"], paint=lambda text: paint(role, text))
        yield from row("fix", stored["fix"])


def odd(facts: Facts, paint: Paint) -> Iterator[str]:
    if not facts["oddities"]:
        return
    yield paint(HEAD, "Odd")
    for oddity in facts["oddities"]:
        yield "  " + paint(ODD, oddity["id"])
        yield from columns("    ", "", [oddity["text"], f"-> {oddity['fix']}"])


def result(facts: Facts, paint: Paint) -> Iterator[str]:
    yield paint(HEAD, "Result")
    if facts["dry_run"]:
        yield "  Nothing was sent."
        return
    error = facts["items"][0]["fate"]
    words = {"stored": "OK: the error event is stored.", "accepted": "OK: the error event was accepted."}
    if facts["accepted"]:
        yield "  " + paint(GOOD, words[error])
    else:
        yield "  " + paint(BAD, f"NOT OK: the error event {NOT_OK[error]}.")
    if facts["not_taken"]:
        fates = {item["item"]: item["fate"].replace("_", " ") for item in facts["items"]}
        yield from columns(
            "  ", "", ["Not taken: " + ", ".join(f"{name} ({fates[name]})" for name in facts["not_taken"])]
        )


def row(label: str, value: Any, paint: Callable[[str], str] = str) -> Iterator[str]:
    """An aligned row, wrapped when it is long; nothing when there is nothing to say."""
    if value:
        start = f"  {label:<{LABEL}}"
        first, *more = columns(" " * len(start), "", [str(value)])
        yield start + paint(first.lstrip())
        yield from (" " * len(start) + paint(line.lstrip()) for line in more)


def columns(indent: str, label: str, paragraphs: list[str]) -> Iterator[str]:
    """Lines: the paragraphs that say something, wrapped, under each other; `label` stands before the first."""
    hanging = indent + " " * len(label)
    start = indent + label
    for paragraph in filter(None, paragraphs):
        yield from textwrap.wrap(
            paragraph,
            LINE_WIDTH,
            initial_indent=start,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        start = hanging


def quoted(item: Facts) -> str:
    """The server's own words, or the system's when nobody answered."""
    speaker = "It says: " if item["status"] else "The system says: "
    return speaker + item["detail"] if item["detail"] else ""


def share(rate: float, what: str) -> str:
    return f"{rate:.0%} of {what}" if rate else "off"


def limit_words(limit: dict[str, Any]) -> str:
    what = ", ".join(limit["categories"]) or "everything"
    why = f" ({limit['reason']})" if limit["reason"] else ""
    return f"{what} for {limit['seconds']} s{why}"
