"""`manage.py sentry_check` against a Sentry that answers, and does not, in every way there is."""

import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment

import pytest
import sentry_sdk
from django.core.management import call_command
from pytest_django import Settings

from tests.fakes.database import ROOT
from tests.fakes.ingest import KEY, Ingest

Facts = dict[str, Any]
Check = Callable[..., Facts]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in getproxies_environment():
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def check(settings: Settings) -> Iterator[Check]:
    """Runs the command with an SDK started for `dsn`; returns its JSON, with the exit status as `exit`."""
    scope = sentry_sdk.get_global_scope()
    before = scope.client

    def run(dsn: str, *arguments: str) -> Facts:
        settings.SENTRY_DSN = dsn
        client = sentry_sdk.Client(dsn=dsn, environment="staging", release="1.2.3", default_integrations=False)
        scope.set_client(client)
        status, text = command("--json", *arguments)
        assert sentry_sdk.get_client() is client
        return {**json.loads(text), "exit": status}

    yield run
    scope.set_client(before)


def command(*arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    output, status = io.StringIO(), 0
    try:
        call_command("sentry_check", *arguments, stdout=output)
    except SystemExit as end:
        status = int(end.code or 0)
    assert KEY not in output.getvalue()
    return status, output.getvalue()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# Accepted


def test_it_reports_what_sentry_accepted(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn)
    [event] = ingest.items("event")
    assert (facts["exit"], facts["accepted"], facts["verdict"], facts["status"]) == (0, True, "accepted", 200)
    assert event["event_id"] == facts["event_id"]
    assert event["level"] == "info"
    assert (event["environment"], event["release"]) == ("staging", "1.2.3")


def test_it_links_the_event(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_EVENT_URL = "https://sentry.example.com/find?q={event_id}"
    facts = check(ingest.dsn)
    assert facts["event_url"] == f"https://sentry.example.com/find?q={facts['event_id']}"


def test_it_shows_the_configuration_without_the_key(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_SEND_DEFAULT_PII = False
    configuration = check(ingest.dsn)["configuration"]
    assert configuration["dsn"] == ingest.dsn.replace(KEY, "***")
    assert configuration["environment"] == settings.SENTRY_ENVIRONMENT
    assert configuration["release"] == settings.SENTRY_RELEASE
    assert configuration["traces_sample_rate"] == settings.SENTRY_TRACES_SAMPLE_RATE
    assert configuration["send_default_pii"] is False
    assert configuration["include_prompts"] is False


def test_a_limit_on_other_data_is_told_of_an_accepted_event(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"X-Sentry-Rate-Limits": "2700:profile:organization:quota_exceeded"})
    facts = check(ingest.dsn)
    assert (facts["accepted"], facts["retry_after_s"]) == (True, None)
    assert facts["rate_limits"][0]["categories"] == ["profile"]


# Answers that are no


@pytest.mark.parametrize(
    ("status", "verdict", "fix"),
    [
        (400, "malformed", "update"),
        (401, "unknown_key", "Client Keys"),
        (403, "unknown_key", "Client Keys"),
        (404, "no_project", "project number"),
        (413, "too_large", "client_max_body_size"),
        (500, "server_error", "later"),
        (503, "server_error", "later"),
        (599, "server_error", "later"),
        (204, "not_sentry", "host and path"),
        (418, "not_sentry", "host and path"),
    ],
)
def test_it_says_what_an_answer_means(check: Check, ingest: Ingest, status: int, verdict: str, fix: str) -> None:
    ingest.answer(status, body=b"" if status == 204 else b'{"detail": "its own words"}')
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["status"], facts["verdict"]) == (1, False, status, verdict)
    assert facts["reason"]
    assert fix in facts["fix"]
    assert facts["detail"] == ("" if status == 204 else "its own words")
    assert facts["event_url"] is None


def test_it_says_how_long_a_rate_limit_lasts(check: Check, ingest: Ingest) -> None:
    ingest.answer(429, {"Retry-After": "120"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 429, "rate_limited")
    assert facts["retry_after_s"] == 120
    assert "120 s" in facts["fix"]


def test_it_believes_sentrys_own_rate_limits_first(check: Check, ingest: Ingest) -> None:
    ingest.answer(429, {"Retry-After": "120", "X-Sentry-Rate-Limits": "60:error:key:spike, 2700:profile:project"})
    facts = check(ingest.dsn)
    assert facts["retry_after_s"] == 60
    assert [limit["seconds"] for limit in facts["rate_limits"]] == [60, 2700]


def test_a_wrong_project_is_not_accepted(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn.removesuffix("/1") + "/2")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 404, "no_project")


def test_a_web_page_is_not_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, body=b"<!doctype html><title>Log in</title>")
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 200, "not_sentry")


def test_a_redirect_without_end_is_not_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(307, {"Location": "/api/1/envelope/"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, 307, "not_sentry")


# No answer


def test_it_says_that_there_is_no_dsn(check: Check) -> None:
    facts = check("")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "no_dsn")
    assert facts["event_id"] is None
    assert "SENTRY_DSN" in facts["fix"]


def test_a_refused_connection(check: Check) -> None:
    facts = check(f"http://{KEY}@127.0.0.1:{closed_port()}/1")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "refused")
    assert facts["detail"] == "Connection refused"


def test_a_host_name_that_does_not_exist(check: Check) -> None:
    facts = check(f"https://{KEY}@nowhere.invalid/1", "--timeout", "30")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "dns")


def test_a_server_that_never_answers(check: Check, ingest: Ingest) -> None:
    ingest.hang()
    facts = check(ingest.dsn, "--timeout", "0.3")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "timeout")


def test_a_connection_that_breaks(check: Check) -> None:
    with hanging_up() as port:
        facts = check(f"http://{KEY}@127.0.0.1:{port}/1")
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "unreachable")


def test_a_proxy_that_is_away(check: Check, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "proxy")
    assert ingest.raw == []


def test_a_server_that_does_not_speak_tls(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn.replace("http:", "https:"))
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "tls")


def test_a_certificate_that_nobody_vouches_for(check: Check, self_signed: Path) -> None:
    with Ingest(tls=serving(self_signed)) as ingest:
        facts = check(ingest.dsn)
        assert ingest.raw == []
    assert (facts["exit"], facts["status"], facts["verdict"]) == (1, None, "tls")
    assert facts["detail"] == "self-signed certificate"


def test_the_fix_for_a_private_certificate_helps(
    check: Check, self_signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))
    with Ingest(tls=serving(self_signed)) as ingest:
        assert check(ingest.dsn)["accepted"] is True


@contextmanager
def hanging_up() -> Iterator[int]:
    """The port of a server that ends each connection as soon as something comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *names, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


# As an operator runs it


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
    assert "result        NOT ACCEPTED" in lines
    assert "HTTP status   403" in lines
    assert "detail        event submission rejected with_reason: ProjectId" in lines


def test_a_malformed_dsn_is_one_clear_line(ingest: Ingest) -> None:
    done = manage(SENTRY_DSN=f"https://{KEY}@sentry.example.com/project")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "SENTRY_DSN must look like https://KEY@HOST/PROJECT_NUMBER, or be empty."
    )


def test_no_line_is_wider_than_a_terminal(settings: Settings) -> None:
    settings.SENTRY_DSN = ""
    status, text = command()
    assert status == 1
    assert max(len(line) for line in text.splitlines()) <= 110
