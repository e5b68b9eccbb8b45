"""The security headers: on every response, whoever gives it."""

import pytest

from tests.fakes.client import Client

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API = ["/api/providers", "/api/conversations/7", "/nothing", "/health", "/api/openapi.json", "/v1/models"]
PAGES = ["/admin/login/", "/admin/", "/static/ninja/swagger-ui.css", "/api/docs"]


@pytest.mark.parametrize("path", API + PAGES)
def test_every_response_has_them(client: Client, path: str) -> None:
    response = client.get(path)
    for name, value in EVERYWHERE.items():
        assert response.headers[name] == value, name
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert "frame-ancestors 'none'" in policy
    assert ("default-src 'none'" in policy) is (path in API)
    assert not [rule for rule in policy if rule.startswith("script-src")], "scripts are 'self' alone, by default-src"
    assert "'unsafe-eval'" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", API)
def test_no_answer_of_the_api_is_kept_by_a_cache(client: Client, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-store"


def test_refusals_from_outside_of_the_views_have_them(client: Client) -> None:
    for response in (
        client.get("/api/providers", headers={"Host": "evil.example.com"}),
        client.post("/api/chat", content=b"x" * 3_000_000, headers={"Content-Type": "application/json"}),
        client.http.request("PUT", "/api/chat"),
        client.get("/sentry-debug"),
    ):
        assert response.status_code >= 400
        assert {name: response.headers[name] for name in EVERYWHERE} == EVERYWHERE
        assert response.headers["Cache-Control"] == "no-store"


def test_streams_have_them(client: Client) -> None:
    with client.stream(client.conversation()["id"], "hello") as stream:
        assert {name: stream.response.headers[name] for name in EVERYWHERE} == EVERYWHERE
        assert stream.response.headers["Cache-Control"] == "no-cache"
        list(stream)


def test_static_files_may_be_kept(client: Client) -> None:
    assert "no-store" not in client.get("/static/ninja/swagger-ui.css").headers.get("Cache-Control", "")
