"""CORS: off unless an origin is listed, then for the API alone, without credentials."""

from collections.abc import Iterator

import pytest

from tests.conftest import fake
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.provider import Provider
from tests.fakes.server import Server

LISTED = "https://app.example.com"
OTHERS = [
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "null",
    "*",
    LISTED + "/",
]
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
API = ["/api/conversations", "/v1/models", "/api/nothing"]


@pytest.fixture(scope="module")
def open_server(databases: Databases, _provider: Provider) -> Iterator[Server]:
    """One that lists origins."""
    settings = {"CORS_ALLOWED_ORIGINS": f"{LISTED},http://a:3000", "HSTS_SECONDS": "31536000"}
    with Server(databases.new(), databases.keys, **fake(_provider), **settings) as server:
        yield server


@pytest.fixture
def page(open_server: Server) -> Client:
    """What a page of the listed origin sends."""
    client = open_server.client()
    client.http.headers["Origin"] = LISTED
    return client


@pytest.mark.parametrize("path", API)
def test_nobody_is_allowed_by_default(client: Client, path: str) -> None:
    for response in (
        client.get(path, headers={"Origin": LISTED}),
        client.http.options(path, headers={"Origin": LISTED, **ASKS}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.status_code != 204


@pytest.mark.parametrize("path", API)
def test_a_page_of_a_listed_origin_reads_the_answer_and_its_headers(page: Client, path: str) -> None:
    response = page.get(path)
    assert response.headers["Access-Control-Allow-Origin"] == LISTED
    assert response.headers["Access-Control-Expose-Headers"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("path", API)
def test_its_preflight_needs_no_key(open_server: Server, path: str) -> None:
    response = open_server.client(None).http.options(path, headers={"Origin": LISTED, **ASKS})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == LISTED
    assert response.headers["Access-Control-Allow-Headers"] == "*, Authorization"
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(response.headers["Access-Control-Allow-Methods"].split(", "))
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize("origin", OTHERS)
def test_no_other_origin_is_allowed(open_server: Server, origin: str) -> None:
    for path in API:
        answers = [
            open_server.client().get(path, headers={"Origin": origin}),
            open_server.client().http.options(path, headers={"Origin": origin, **ASKS}),
        ]
        for response in answers:
            assert "Access-Control-Allow-Origin" not in response.headers
            assert "Origin" in response.headers["Vary"], "or a cache would give one origin's answer to another"


def test_refusals_can_be_read_too(page: Client, open_server: Server) -> None:
    anonymous = open_server.client(None)
    for response in (
        anonymous.get("/api/conversations", headers={"Origin": LISTED}),
        page.post("/api/chat", content=b"x" * 3_000_000, headers={"Content-Type": "application/json"}),
        page.get("/api/conversations", headers={"Host": "evil.example.com"}),
        page.post("/api/chat", json={"message": ""}),
        page.post("/api/chat", json={"message": "x", "model": "status-500"}),
    ):
        assert response.status_code >= 400
        assert response.headers["Access-Control-Allow-Origin"] == LISTED


def test_streams_can_be_read(page: Client) -> None:
    with page.stream(page.conversation()["id"], "hello") as stream:
        assert stream.response.headers["Access-Control-Allow-Origin"] == LISTED
        assert [event.name for event in stream][-1] == "message.completed"


@pytest.mark.parametrize("path", ["/admin/login/", "/health", "/static/ninja/swagger-ui.css", "/"])
def test_nothing_but_the_api_is_opened(page: Client, path: str) -> None:
    assert "Access-Control-Allow-Origin" not in page.get(path).headers
    assert page.http.options(path, headers=ASKS).status_code != 204


def test_options_that_is_no_preflight_is_a_wrong_method(page: Client) -> None:
    assert page.http.options("/api/conversations").status_code == 405


def test_an_origin_may_have_a_port(open_server: Server) -> None:
    response = open_server.client().get("/api/conversations", headers={"Origin": "http://a:3000"})
    assert response.headers["Access-Control-Allow-Origin"] == "http://a:3000"


def test_hsts_is_said_when_it_is_configured(client: Client, page: Client) -> None:
    assert "Strict-Transport-Security" not in client.get("/health").headers
    assert page.get("/health").headers["Strict-Transport-Security"] == "max-age=31536000"
