"""What every response has: ids that name the request, problem documents for everything that goes wrong."""

import re
import socket

import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client, assert_problem
from tests.fakes.server import Server

PATHS = ["/health", "/api/providers", "/api/conversations/7", "/no/such/path", "/api/openapi.json", "/api/docs"]


@pytest.mark.parametrize("path", PATHS)
def test_every_response_names_its_request_and_trace(client: Client, path: str) -> None:
    one, other = client.get(path), client.get(path)
    for name in ("X-Request-ID", "X-Trace-ID"):
        assert re.fullmatch(r"[0-9a-f]{32}", one.headers[name])
        assert one.headers[name] != other.headers[name]


@pytest.mark.parametrize("given", ["abc", "a" * 64, "0198c9b2-f0c7-7d5c", "A.b_c-1"])
def test_the_callers_request_id_is_kept(client: Client, given: str) -> None:
    assert client.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "two words", "a;b", "<b>", "a\u00e4".encode("latin-1"), "{id}", 'a"b'])
def test_a_request_id_that_would_need_escaping_is_not(client: Client, given: str | bytes) -> None:
    headers = {b"X-Request-ID": given.encode() if isinstance(given, str) else given}
    assert re.fullmatch(r"[0-9a-f]{32}", client.http.get("/health", headers=headers).headers["X-Request-ID"])


def test_the_callers_request_id_is_on_the_message_and_in_the_log(client: Client, server: Server) -> None:
    response = client.post("/api/chat", json={"message": "hello"}, headers={"X-Request-ID": "mine-1"})
    assert response.json()["request_id"] == "mine-1"
    assert f"request=mine-1 trace={response.headers['X-Trace-ID']}" in server.log()


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/api/providers", "/api/docs"])
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    full, head = client.get(path), client.http.head(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == full.headers[name]
    assert client.get(path).content == full.content, "the connection is still good"


def test_an_unknown_path_is_a_problem(client: Client) -> None:
    assert_problem(client.get("/administrator"), 404, "not_found")
    for path in ("/nothing", "/api/nothing", "/api/conversations/", "/health/nobody"):
        assert_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/conversations"), ("DELETE", "/api/chat"), ("POST", "/health")]
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: Client, method: str, path: str) -> None:
    response = client.http.request(method, path)
    problem = assert_problem(response, 405, "method_not_allowed")
    allowed = response.headers["Allow"]
    assert "POST" in allowed or "GET" in allowed
    assert allowed in problem["detail"]


def test_a_host_that_is_not_ours_is_refused(client: Client) -> None:
    for path in ("/api/providers", "/api/docs"):
        assert_problem(client.get(path, headers={"Host": "evil.example.com"}), 400, "bad_request")


def test_a_probe_that_names_an_address_is_answered(client: Client) -> None:
    for path in ("/health", "/health/ready"):
        assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200


def test_a_path_cannot_forge_a_line_of_the_log(client: Client, server: Server) -> None:
    client.get("/x%0aFORGED%20LINE%0d%1b[31m")
    assert not re.search(r"^FORGED", server.log(), re.M)
    assert "\x1b[31m" not in server.log()


def test_a_bug_is_a_problem_with_the_ids_to_report(client: Client) -> None:
    response = client.get("/sentry-debug")
    problem = assert_problem(response, 500, "internal_error")
    assert re.fullmatch(r"[0-9a-f]{32}", problem["sentry_event_id"])
    assert problem["trace_id"] == response.headers["X-Trace-ID"]
    assert "ZeroDivisionError" not in response.text


def test_with_debug_too(start_server: StartServer) -> None:
    client = start_server(DEBUG="true").client()
    problem = assert_problem(client.get("/sentry-debug"), 500, "internal_error")
    assert "sentry_event_id" not in problem, "Sentry is off"
    assert_problem(client.get("/nothing"), 404, "not_found")
    assert_problem(client.post("/api/chat", json={"message": ""}), 422, "invalid_request", "message")


def test_the_root_leads_to_the_documentation(client: Client) -> None:
    response = client.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/api/docs")


def test_a_request_leaves_one_line_in_the_log(server: Server, client: Client) -> None:
    client.post("/api/chat", json={"message": "never in a log"}, headers={"X-Request-ID": "logged-1"})
    lines = [line for line in server.log().splitlines() if "logged-1" in line]
    assert len(lines) == 1
    assert "POST /api/chat 200" in lines[0]
    assert "never in a log" not in server.log()


def test_a_websocket_is_refused(server: Server) -> None:
    """Django serves none; an event for each try would let anybody fill the log and Sentry."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"GET /api/docs HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b" 403 " in connection.recv(4096).split(b"\r\n")[0]
    assert "Django can only handle ASGI/HTTP" not in server.log()


def test_a_refusal_has_one_line_in_the_log(client: Client, server: Server) -> None:
    request_id = client.get("/nothing/here").headers["X-Request-ID"]
    assert [line.split()[2] for line in server.log().splitlines() if request_id in line] == ["INFO"]
