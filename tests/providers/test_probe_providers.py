"""`manage.py probe_providers`: a line for each provider, an exit status, and a check-in with Sentry."""

import os
import subprocess
import sys
from typing import Any

from tests.conftest import fake
from tests.fakes.database import ROOT
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider

Done = subprocess.CompletedProcess[str]


def probe(*arguments: str, **environment: str) -> Done:
    command = [sys.executable, "manage.py", "probe_providers", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


def check_ins(ingest: Ingest) -> list[dict[str, Any]]:
    found = ingest.items("check_in")
    assert {check_in["monitor_slug"] for check_in in found} <= {"probe-providers"}
    assert len({check_in["check_in_id"] for check_in in found}) <= 1
    return found


def test_it_is_well_when_every_provider_answers(provider: Provider, ingest: Ingest) -> None:
    only = {**fake(provider), "CHAT_PROVIDERS": "fake"}
    done = probe(SENTRY_DSN=ingest.dsn, SENTRY_ENVIRONMENT="staging", SENTRY_RELEASE="1.2.3", **only)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    [line] = done.stdout.splitlines()
    assert line.startswith("fake: ok, ")
    assert provider.received[-1].path.endswith("/models")
    begun, ended = check_ins(ingest)
    assert (begun["status"], ended["status"]) == ("in_progress", "ok")
    assert ended["duration"] > 0
    assert (ended["environment"], ended["release"]) == ("staging", "1.2.3")
    assert begun["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "*/10 * * * *"},
        "timezone": "UTC",
        "checkin_margin": 5,
        "max_runtime": 5,
    }


def test_it_fails_when_one_does_not_and_names_it(provider: Provider, ingest: Ingest) -> None:
    done = probe("--schedule", "0 * * * *", SENTRY_DSN=ingest.dsn, **fake(provider))  # nobody is at `local`
    assert done.returncode == 1
    well, ill = done.stdout.splitlines()
    assert well.startswith("fake: ok, ")
    assert ill.startswith("local: unreachable: ")
    assert done.stderr == "CommandError: 1 of 2 failed: local.\n"
    begun, ended = check_ins(ingest)
    assert (begun["status"], ended["status"]) == ("in_progress", "error")
    assert ended["monitor_config"]["schedule"]["value"] == "0 * * * *"
    assert ingest.items("event") == [], "the monitor's failure is the alarm"


def test_it_shows_no_key(provider: Provider, ingest: Ingest) -> None:
    done = probe(SENTRY_DSN=ingest.dsn, **fake(provider))
    sent = b"".join(ingest.raw).decode()
    assert "fake-secret" in str(provider.received[-1].headers)
    assert "fake-secret" not in done.stdout + done.stderr + sent


def test_without_sentry_it_just_runs(provider: Provider) -> None:
    done = probe(**{**fake(provider), "CHAT_PROVIDERS": "fake"})
    assert (done.returncode, done.stderr) == (0, "")


def test_it_runs_although_sentry_is_away(provider: Provider, ingest: Ingest) -> None:
    ingest.answer(500)
    done = probe(SENTRY_DSN=ingest.dsn, **{**fake(provider), "CHAT_PROVIDERS": "fake"})
    assert (done.returncode, done.stderr) == (0, "")
