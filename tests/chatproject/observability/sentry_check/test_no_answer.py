"""sentry_check where no Sentry answers at all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chatproject.observability.sentry_check.command import Check, fates
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.ports import free_port
from tests.fakes.tls import serving


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
