"""Which server answered."""

import pytest

from chatproject.observability.doctor.servers import (
    BUGSINK,
    GLITCHTIP,
    SENTRY,
    SENTRY_IO,
    UNKNOWN,
    Server,
    api_url,
    foreign_via,
    is_glitchtip,
    recognise,
    settings_url,
    web_url,
)
from chatproject.observability.doctor.verdicts import Outcome

DSN = "https://key@sentry.example.com:8443/prefix/42"
SAAS = "https://key@o1.ingest.sentry.io/42"
EXPOSED = "access-control-expose-headers"


@pytest.mark.parametrize(
    ("dsn", "exposed", "server"),
    [
        (SAAS, "", SENTRY_IO),
        (DSN, "x-sentry-error,x-sentry-rate-limits,retry-after", SENTRY),
        (DSN, "X-Sentry-Rate-Limits", BUGSINK),
        (DSN, "", UNKNOWN),
        (DSN, "X-Request-ID", UNKNOWN),
        (DSN, "X-Sentry-Rate-Limits, X-Request-ID", UNKNOWN),
    ],
)
def test_it_recognises_a_server_by_its_answer(dsn: str, exposed: str, server: Server) -> None:
    assert recognise(dsn, {EXPOSED: exposed} if exposed else {}) is server


def test_only_glitchtip_has_glitchtips_settings() -> None:
    assert is_glitchtip(Outcome(200, body=b'{"iPaidForGlitchTip": false, "version": "5"}'))
    assert not is_glitchtip(Outcome(200, body=b'{"version": "0"}'))
    assert not is_glitchtip(Outcome(200, body=b"<html>"))
    assert not is_glitchtip(Outcome(404, body=b'{"iPaidForGlitchTip": false}'))
    assert settings_url(DSN) == "https://sentry.example.com:8443/prefix/api/settings/"


@pytest.mark.parametrize(
    ("server", "kept", "ignored"),
    [
        (BUGSINK, {"event"}, {"transaction", "span", "profile_chunk", "log", "trace_metric"}),
        (GLITCHTIP, {"event", "transaction"}, {"span", "profile_chunk", "trace_metric"}),
        (SENTRY, set(), set()),
        (UNKNOWN, set(), set()),
    ],
)
def test_it_knows_what_a_server_keeps(server: Server, kept: set[str], ignored: set[str]) -> None:
    types = {"event", "transaction", "span", "profile_chunk", "log", "trace_metric"}
    assert {type for type in types if server.surely_keeps(type)} == kept
    assert {type for type in types if server.ignores(type)} == ignored


@pytest.mark.parametrize(
    ("dsn", "api", "web"),
    [
        (SAAS, "https://sentry.io", "https://sentry.io"),
        ("https://key@o1.ingest.de.sentry.io/42", "https://de.sentry.io", "https://sentry.io"),
        ("https://key@sentry.io/42", "https://sentry.io", "https://sentry.io"),
        (DSN, "https://sentry.example.com:8443/prefix", "https://sentry.example.com:8443/prefix"),
        ("http://key@127.0.0.1:9000/1", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("", "", ""),
    ],
)
def test_it_knows_where_the_api_of_a_dsn_is(dsn: str, api: str, web: str) -> None:
    assert (api_url(dsn), web_url(dsn)) == (api, web)


def test_only_sentry_ios_own_load_balancer_is_no_proxy() -> None:
    assert foreign_via(SAAS, {"via": "1.1 google"}) == ""
    assert foreign_via(SAAS, {"via": "1.1 squid, 1.1 google"}) == "1.1 squid, 1.1 google"
    assert foreign_via(DSN, {"via": "1.1 google"}) == "1.1 google"
    assert foreign_via(DSN, {}) == ""
