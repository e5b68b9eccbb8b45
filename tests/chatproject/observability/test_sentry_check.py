"""`manage.py sentry_check` against a Sentry that answers, and does not, in every way there is."""

import io
import json
import os
import pty
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
from tests.fakes.ingest import KEY, Answer, Ingest, parse
from tests.fakes.ports import free_port
from tests.fakes.sentry_api import TOKEN, SentryApi

Facts = dict[str, Any]
Check = Callable[..., Facts]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in getproxies_environment():
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def check(settings: Settings) -> Iterator[Check]:
    """Runs the command with an SDK started for `dsn`; returns its JSON, with the exit status as `exit`.

    What it says of the error is at the top; what it says of the others, in `items`.
    """
    scope = sentry_sdk.get_global_scope()
    before = scope.client

    def run(dsn: str, *arguments: str, **options: Any) -> Facts:
        settings.SENTRY_DSN = dsn
        options = {"environment": "staging", "release": "1.2.3", "default_integrations": False, **options}
        client = sentry_sdk.Client(dsn=dsn, **options)
        scope.set_client(client)
        status, text = command("--json", *arguments)
        assert sentry_sdk.get_client() is client
        facts = json.loads(text)
        return {**next(iter(facts.get("items", [])), {}), **facts, "exit": status}

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
    assert TOKEN not in output.getvalue()
    return status, output.getvalue()


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


@pytest.fixture
def picky() -> Iterator[PickyIngest]:
    with PickyIngest() as picky:
        yield picky


@pytest.fixture
def api() -> Iterator[SentryApi]:
    """A Sentry with an API."""
    with SentryApi() as api:
        yield api


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
    ingest.answer(200, {"X-Sentry-Rate-Limits": "2700:profile_chunk:organization:quota_exceeded"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["retry_after_s"]) == (0, True, None)
    assert [limit["categories"] for limit in facts["rate_limits"]] == [["profile_chunk"]]
    assert facts["not_taken"] == ["profile"]


# Each kind of data


def test_it_sends_every_kind_of_data(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn)
    assert fates(facts) == dict.fromkeys(
        ["error", "transaction", "gen_ai span", "profile", "log", "metric"], "accepted"
    )
    assert facts["not_taken"] == []
    for type in ("event", "transaction", "span", "profile_chunk", "log", "trace_metric"):
        assert len(ingest.items(type)) == 1, type


def test_the_span_is_in_the_transaction_where_the_server_would_send_it_so(check: Check, ingest: Ingest) -> None:
    facts = check(ingest.dsn, stream_gen_ai_spans=False)
    assert "gen_ai span" not in fates(facts)
    [transaction] = ingest.items("transaction")
    assert [span["op"] for span in transaction["spans"]] == ["gen_ai.chat"]


def test_it_tells_the_fate_of_each(check: Check, picky: PickyIngest) -> None:
    picky.answers = {
        "transaction": Answer(429, {"X-Sentry-Rate-Limits": "60:span:organization:quota"}),
        "profile_chunk": Answer(429, {"Retry-After": "120"}),
        "log": Answer(413, body=b'{"detail": "too large"}'),
        "trace_metric": Answer(200, {"X-Sentry-Rate-Limits": "30:trace_metric:project:none"}),
    }
    facts = check(picky.dsn)
    assert (facts["exit"], facts["accepted"]) == (0, True)
    assert fates(facts) == {
        "error": "accepted",
        "transaction": "accepted",
        "gen_ai span": "rate_limited",
        "profile": "rate_limited",
        "log": "rejected",
        "metric": "rate_limited",
    }
    by_item = {item["item"]: item for item in facts["items"]}
    assert [by_item[name]["retry_after_s"] for name in ("gen_ai span", "profile", "metric")] == [60, 120, 30]
    assert (by_item["log"]["status"], by_item["log"]["verdict"], by_item["log"]["detail"]) == (
        413,
        "too_large",
        "too large",
    )
    assert facts["not_taken"] == ["gen_ai span", "profile", "log", "metric"]


def test_a_limit_on_errors_beside_a_200_is_no_acceptance(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"X-Sentry-Rate-Limits": "60:error:organization:quota"})
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["accepted"], facts["fate"]) == (1, False, "rate_limited")


def test_it_knows_what_bugsink_ignores(check: Check, ingest: Ingest) -> None:
    ingest.answer(
        200,
        {
            "Access-Control-Expose-Headers": "X-Sentry-Rate-Limits",
            "X-Sentry-Rate-Limits": "86400:transaction;span:organization",
        },
    )
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["server"]) == (0, "bugsink")
    assert {name for name, fate in fates(facts).items() if fate == "ignored"} == set(fates(facts)) - {"error"}
    assert fates(facts)["error"] == "accepted"


def test_it_knows_what_glitchtip_ignores(check: Check, api: SentryApi) -> None:
    api.documents["/api/settings/"] = {"iPaidForGlitchTip": False}
    facts = check(api.dsn, stream_gen_ai_spans=False)
    assert facts["server"] == "glitchtip"
    assert fates(facts) == {
        "error": "accepted",
        "transaction": "accepted",
        "profile": "ignored",
        "log": "accepted",
        "metric": "ignored",
    }


def test_after_no_answer_it_does_not_try_the_rest(check: Check) -> None:
    facts = check(f"http://{KEY}@127.0.0.1:{free_port()}/1")
    assert fates(facts).pop("error") == "no_answer"
    assert {fate for name, fate in fates(facts).items() if name != "error"} == {"not_sent"}


# Stored, by the API


@pytest.fixture
def with_token(settings: Settings, api: SentryApi) -> Settings:
    settings.SENTRY_AUTH_TOKEN = TOKEN
    settings.SENTRY_URL = api.url
    return settings


def test_it_waits_until_the_event_is_stored(check: Check, ingest: Ingest, api: SentryApi, with_token: Settings) -> None:
    api.misses = 2
    facts = check(ingest.dsn)
    [event] = ingest.items("event")
    assert (facts["exit"], facts["accepted"], facts["fate"], facts["storage"]["state"]) == (0, True, "stored", "stored")
    assert facts["event_url"] == f"{api.url}/organizations/acme/issues/55/events/{event['event_id']}/"
    assert api.authorizations == {f"Bearer {TOKEN}"}


def test_it_asks_the_dsns_own_server_where_no_other_is_named(
    check: Check, api: SentryApi, with_token: Settings
) -> None:
    with_token.SENTRY_URL = ""
    facts = check(api.dsn)
    assert (facts["exit"], facts["fate"]) == (0, "stored")
    assert facts["configuration"]["api"] == api.url


def test_an_event_that_is_not_stored_is_a_failure(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    api.misses = float("inf")
    facts = check(ingest.dsn, "--wait", "0.3")
    assert (facts["exit"], facts["accepted"], facts["fate"]) == (1, False, "accepted")
    assert facts["storage"]["state"] == "not_stored"
    assert facts["storage"]["fix"]


def test_an_api_that_refuses_the_token_is_a_failure_without_the_token(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    api.forced = (401, {}, f'{{"detail": "bad token {TOKEN}"}}'.encode())
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["storage"]["state"]) == (1, "unknown")
    assert "SENTRY_AUTH_TOKEN" in facts["storage"]["fix"]


def test_a_token_that_the_server_repeats_is_hidden(check: Check, ingest: Ingest, with_token: Settings) -> None:
    ingest.answer(403, body=f'{{"detail": "no {TOKEN}"}}'.encode())
    assert check(ingest.dsn)["detail"] == "no ***"


def test_the_api_is_not_asked_for_an_event_that_was_not_accepted(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    ingest.answer(403)
    assert check(ingest.dsn)["storage"] is None
    assert api.asked == []


def test_without_a_token_the_api_is_not_asked(check: Check, ingest: Ingest, api: SentryApi, settings: Settings) -> None:
    settings.SENTRY_URL = api.url
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["fate"], facts["storage"]) == (0, "accepted", None)
    assert api.asked == []


# What is odd, where the facts come from answers (the rest is in doctor/test_oddities.py)


def test_a_sound_set_up_is_not_odd(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_RELEASE = "1.2.3"
    settings.SENTRY_ENABLE_LOGS = True  # as with a DSN in the environment
    assert odd(check(ingest.dsn)) == set()


def test_it_takes_the_settings_into_account(check: Check, ingest: Ingest, settings: Settings) -> None:
    settings.SENTRY_ENVIRONMENT = "production"
    settings.SENTRY_RELEASE = ""
    settings.SENTRY_TRACES_SAMPLE_RATE = 0.0
    settings.SENTRY_PROFILES_SAMPLE_RATE = 1.0
    settings.SENTRY_SEND_DEFAULT_PII = settings.SENTRY_INCLUDE_PROMPTS = True
    assert odd(check(ingest.dsn)) == {
        "profiling_without_tracing",
        "switched_off",
        "pii_in_production",
        "prompts_in_production",
        "release_missing",
    }


@pytest.mark.parametrize(("offset", "words"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_clock_that_differs_from_the_servers(check: Check, api: SentryApi, offset: int, words: str) -> None:
    api.clock_offset = offset
    [oddity] = [oddity for oddity in check(api.dsn)["oddities"] if oddity["id"] == "clock_skew"]
    assert words in oddity["text"]


def test_a_proxy_that_takes_the_envelopes(check: Check, api: SentryApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", api.url.replace("http://", "http://user:hunter2@"))
    facts = check(f"http://{KEY}@sentry.invalid/1")
    assert (facts["exit"], facts["accepted"]) == (0, True)  # the proxy answered
    assert "proxy_in_effect" in odd(facts)
    assert facts["configuration"]["proxy"] == api.url.removeprefix("http://")
    assert "hunter2" not in json.dumps(facts)


def test_a_proxy_that_names_itself(check: Check, ingest: Ingest) -> None:
    ingest.answer(200, {"Via": "1.1 squid"})
    assert "proxy_answered" in odd(check(ingest.dsn))


def test_a_web_page_in_the_place_of_sentry(check: Check, ingest: Ingest) -> None:
    ingest.answer(502, body=b"<html>Bad gateway</html>")
    assert "web_page_answered" in odd(check(ingest.dsn))


def test_a_dsn_of_another_environments_project(check: Check, ingest: Ingest, with_token: Settings) -> None:
    with_token.SENTRY_ENVIRONMENT = "development"
    [oddity] = [oddity for oddity in check(ingest.dsn)["oddities"] if oddity["id"] == "other_environment"]
    assert "chat-staging" in oddity["text"]


def test_slugs_of_another_project(check: Check, ingest: Ingest, with_token: Settings) -> None:
    with_token.SENTRY_ORG, with_token.SENTRY_PROJECT = "acme", "shop"
    facts = check(ingest.dsn)
    assert (facts["exit"], facts["storage"]["state"]) == (1, "unknown")
    assert "other_project" in odd(facts)


def test_an_sdk_that_lets_callers_force_traces(check: Check, ingest: Ingest) -> None:
    assert "incoming_traces_forced" in odd(check(ingest.dsn, traces_sample_rate=0.0))


# Nothing sent


def test_a_dry_run_sends_nothing_and_shows_what_would_be_sent(
    check: Check, ingest: Ingest, api: SentryApi, with_token: Settings
) -> None:
    facts = check(ingest.dsn, "--dry-run")
    assert (facts["exit"], facts["dry_run"]) == (0, True)
    assert ingest.raw == []
    assert api.asked == []
    assert facts["configuration"]["dsn"] == ingest.dsn.replace(KEY, "***")
    assert [item["item"] for item in facts["would_send"]] == [
        "error",
        "transaction",
        "gen_ai span",
        "profile",
        "log",
        "metric",
    ]
    assert facts["would_send"][0]["payload"]["exception"]["values"][0]["type"] == "SentryCheck"


def test_a_dry_run_needs_no_dsn(check: Check) -> None:
    facts = check("", "--dry-run")
    assert facts["exit"] == 0
    assert len(facts["would_send"]) == 6


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
    assert set(fates(facts).values()) == {"not_sent"}


def test_a_refused_connection(check: Check) -> None:
    facts = check(f"http://{KEY}@127.0.0.1:{free_port()}/1")
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
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
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
    assert any(line.split()[:3] == ["error", "rejected", "403"] for line in lines)
    assert "It says: event submission rejected with_reason: ProjectId" in lines
    assert "NOT OK: the error event was rejected." in lines


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


def test_it_names_the_items_that_were_not_taken(picky: PickyIngest) -> None:
    picky.answers = {"log": Answer(400), "profile_chunk": Answer(429)}
    done = manage(SENTRY_DSN=picky.dsn)
    assert done.returncode == 0
    assert "Not taken: profile (rate limited), log (rejected)" in done.stdout


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


COLOUR = "\x1b["


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


def test_a_malformed_api_address_is_refused_by_name() -> None:
    done = manage(SENTRY_URL=f"https://user:{TOKEN}@sentry.example.com")
    assert done.returncode == 1
    assert "SENTRY_URL must be a URL" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
