"""What an answer means, and what is shown of it."""

import pytest

from chatproject.observability.doctor.verdicts import VERDICTS, Outcome, detail_of, diagnose, dsn_secrets, without_key

DSN = "https://public:secret@sentry.example.com:8443/prefix/42"
HIDDEN = dsn_secrets(DSN)


def test_only_one_verdict_accepts() -> None:
    assert [verdict.code for verdict in VERDICTS if verdict.accepted] == ["accepted"]


def test_every_verdict_says_why_and_what_to_do() -> None:
    assert all(verdict.reason and (verdict.fix or verdict.accepted) for verdict in VERDICTS)


def test_a_web_page_is_no_sentry_whatever_its_status() -> None:
    assert diagnose(Outcome(status=200, body=b"\n<!doctype html>")).code == "not_sentry"


def test_an_empty_200_is_accepted() -> None:
    assert diagnose(Outcome(status=200)).accepted


def test_it_shows_the_servers_own_words() -> None:
    body = b'{"detail": "rejected with_reason: ProjectId", "causes": ["project", "state"]}'
    assert detail_of(Outcome(status=403, body=body), HIDDEN) == "rejected with_reason: ProjectId; project; state"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b"{}", b'{"detail": null}', b"\xff"])
def test_it_shows_nothing_of_an_answer_that_is_not_sentrys(body: bytes) -> None:
    assert detail_of(Outcome(status=403, body=body), HIDDEN) == ""


def test_neither_the_key_nor_a_terminals_control_codes_are_shown() -> None:
    shown = detail_of(Outcome(failure="refused", detail="\x1b[2Jpublic and secret\nrefused"), HIDDEN)
    assert shown == "[2J*** and *** refused"


def test_a_long_answer_is_cut() -> None:
    assert len(detail_of(Outcome(failure="refused", detail="x" * 10_000), HIDDEN)) == 300


def test_a_dsn_is_shown_without_its_keys() -> None:
    assert without_key(DSN) == "https://***@sentry.example.com:8443/prefix/42"
    assert without_key("") == ""
