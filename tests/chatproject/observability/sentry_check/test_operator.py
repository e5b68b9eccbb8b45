"""sentry_check as an operator runs it: exit statuses, lines, colours."""

import io
import os
import pty
import subprocess
import sys

import pytest
from pytest_django import Settings

from tests.chatproject.observability.sentry_check.command import PickyIngest, command, manage
from tests.fakes.database import ROOT
from tests.fakes.ingest import KEY, Answer, Ingest
from tests.fakes.sentry_api import TOKEN

COLOUR = "\x1b["


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    terminal, end = pty.openpty()
    command = [sys.executable, "manage.py", "sentry_check", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=end, stderr=end)
    os.close(end)
    written = b""
    with os.fdopen(terminal, "rb", buffering=0) as reader:
        # A read fails with EIO once the command has ended.
        while chunk := _read(reader):
            written += chunk
    process.wait(timeout=60)
    return written.decode()


def _read(reader: io.FileIO) -> bytes:
    try:
        return reader.read(65536)
    except OSError:
        return b""


def test_it_exits_with_0_when_the_event_was_accepted(ingest: Ingest) -> None:
    done = manage(SENTRY_DSN=ingest.dsn, SENTRY_ENVIRONMENT="staging", SENTRY_RELEASE="1.2.3")
    assert done.returncode == 0, done.stdout + done.stderr
    [event] = ingest.wait("event")
    assert (event["environment"], event["release"]) == ("staging", "1.2.3")
    words = done.stdout.split()
    assert "accepted" in words
    assert "200" in words
    assert event["event_id"] in words


def test_it_exits_with_1_and_says_why_when_it_was_not(ingest: Ingest) -> None:
    ingest.answer(403, body=b'{"detail": "event submission rejected with_reason: ProjectId"}')
    done = manage(SENTRY_DSN=ingest.dsn)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.split()[:3] == ["error", "rejected", "403"] for line in lines)
    assert "It says: event submission rejected with_reason: ProjectId" in lines
    assert "NOT OK: the error event was rejected." in lines


def test_a_malformed_dsn_is_one_clear_line(ingest: Ingest) -> None:
    done = manage(SENTRY_DSN=f"https://{KEY}@sentry.example.com/project")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "SENTRY_DSN must look like https://KEY@HOST/PROJECT_NUMBER, or be empty."
        " An IPv6 address is no HOST, since Sentry's SDK cannot send to one."
    )


def test_a_malformed_api_address_is_refused_by_name() -> None:
    done = manage(SENTRY_URL=f"https://user:{TOKEN}@sentry.example.com")
    assert done.returncode == 1
    assert "SENTRY_URL must be a URL" in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_no_line_is_wider_than_a_terminal(settings: Settings) -> None:
    settings.SENTRY_DSN = ""
    status, text = command()
    assert status == 1
    assert max(len(line) for line in text.splitlines()) <= 110


def test_it_names_the_items_that_were_not_taken(picky: PickyIngest) -> None:
    picky.answers = {"log": Answer(400), "profile_chunk": Answer(429)}
    done = manage(SENTRY_DSN=picky.dsn)
    assert done.returncode == 0
    assert "Not taken: profile (rate limited), log (rejected)" in done.stdout


def test_it_is_coloured_in_a_terminal_only(ingest: Ingest) -> None:
    assert f"{COLOUR}32;1maccepted" in in_a_terminal(SENTRY_DSN=ingest.dsn)
    assert COLOUR not in manage(SENTRY_DSN=ingest.dsn).stdout


@pytest.mark.parametrize(("argument", "environment"), [("--no-color", {}), ("--wait=1", {"NO_COLOR": "1"})])
def test_a_terminal_can_do_without_colour(ingest: Ingest, argument: str, environment: dict[str, str]) -> None:
    written = in_a_terminal(argument, SENTRY_DSN=ingest.dsn, **environment)
    assert "accepted" in written
    assert COLOUR not in written


def test_colour_can_be_forced_into_a_pipe() -> None:
    assert COLOUR in command("--dry-run", "--force-color")[1]
    assert COLOUR not in command("--dry-run")[1]
