"""`manage.py sentry_check` as the tests run it, and what it says."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from django.core.management import call_command

from tests.fakes.database import ROOT
from tests.fakes.ingest import KEY, Answer, Ingest, parse
from tests.fakes.sentry_api import TOKEN

Facts = dict[str, Any]
Check = Callable[..., Facts]


def command(*arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    output, status = io.StringIO(), 0
    try:
        call_command("sentry_check", *arguments, stdout=output)
    except SystemExit as end:
        status = int(end.code or 0)
    assert KEY not in output.getvalue()
    assert TOKEN not in output.getvalue()
    return status, output.getvalue()


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "manage.py", "sentry_check", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert KEY not in done.stdout + done.stderr
    return done


def fates(facts: Facts) -> dict[str, str]:
    return {item["item"]: item["fate"] for item in facts["items"]}


def odd(facts: Facts) -> set[str]:
    return {oddity["id"] for oddity in facts["oddities"]}


class PickyIngest(Ingest):
    """Answers an envelope by the type of its first item, where `answers` has one."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Answer] = {}

    def take(self, body: bytes) -> Answer | None:
        usual = super().take(body)
        return self.answers.get(parse(body)[0][0], usual)
