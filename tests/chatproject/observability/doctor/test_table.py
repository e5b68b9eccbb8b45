"""The text: aligned, within its width, saying what is the same only once."""

from typing import Any

from chatproject.observability.doctor.table import LINE_WIDTH, text_of

CONFIGURATION = {
    "dsn": "https://***@sentry.example.com/1",
    "environment": "staging",
    "release": "",
    "traces_sample_rate": 0.25,
    "profiles_sample_rate": 0.0,
    "send_default_pii": False,
    "include_prompts": False,
    "logs": True,
    "api": "https://sentry.example.com",
    "auth_token": True,
    "proxy": "",
}
LONG = "words " * 60


def item(name: str, fate: str, **more: Any) -> dict[str, Any]:
    return {"item": name, "fate": fate, "status": 403, "reason": LONG, "detail": "no such key", "fix": LONG, **more}


def facts(**more: Any) -> dict[str, Any]:
    return {
        "dry_run": False,
        "configuration": CONFIGURATION,
        "accepted": False,
        "server": "bugsink",
        "items": [item("error", "rejected"), item("log", "rejected")],
        "not_taken": ["error", "log"],
        "rate_limits": [{"categories": [], "seconds": 60, "scope": "key", "reason": "spike"}],
        "event_id": "0" * 32,
        "event_url": None,
        "storage": {"state": "not_stored", "reason": LONG, "fix": LONG},
        "oddities": [{"id": "release_missing", "text": LONG, "fix": LONG}],
        **more,
    }


def plain(role: str, text: str) -> str:
    return text


def test_no_line_is_wider_than_a_terminal_or_ends_in_spaces() -> None:
    lines = text_of(facts(), plain).splitlines()
    assert max(len(line) for line in lines) <= LINE_WIDTH
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_columns_are_aligned() -> None:
    shown = text_of(facts(items=[item("error", "accepted", status=200), item("log", "no_answer", status=None)]), plain)
    error, log = (
        next(line for line in shown.splitlines() if line.startswith(f"  {name}")) for name in ("error", "log")
    )
    assert error.index("accepted") == log.index("no answer")
    assert error.index("200") == log.index("-")
    assert error.index("words") == log.index("words")


def test_what_is_wrong_with_all_is_said_once() -> None:
    shown = text_of(facts(), plain)
    assert shown.count("It says: no such key") == 1
    assert shown.count("The same.") == 1


def test_colour_changes_nothing_but_colour() -> None:
    coloured = text_of(facts(), lambda role, text: f"<{role}>{text}</>")
    for mark in ("<head>", "<good>", "<bad>", "<odd>", "</>"):
        coloured = coloured.replace(mark, "")
    assert coloured == text_of(facts(), plain)


def test_each_role_marks_what_it_is_for() -> None:
    sent = [item("error", "stored"), item("log", "ignored"), item("metric", "rejected")]
    coloured = text_of(facts(items=sent, accepted=True), lambda role, text: f"[{role} {text.strip()}]")
    assert "[good stored]" in coloured
    assert "[odd ignored]" in coloured
    assert "[bad rejected]" in coloured
    assert "[odd release_missing]" in coloured
    assert "[head Configuration]" in coloured


def test_an_event_that_is_accepted_but_not_stored_is_not_ok() -> None:
    shown = text_of(facts(items=[item("error", "accepted")], not_taken=[]), plain)
    assert "NOT OK: the error event was accepted, but is not known to be stored." in shown
