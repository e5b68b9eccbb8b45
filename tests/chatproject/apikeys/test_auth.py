"""Every endpoint wants a key, but the health checks; every bad one is a 401 that says so."""

from typing import Any

import pytest

from tests.fakes.client import assert_problem
from tests.fakes.database import Databases
from tests.fakes.provider import Provider
from tests.fakes.server import Server

ENDPOINTS = [
    ("POST", "/api/conversations"),
    ("GET", "/api/conversations"),
    ("GET", "/api/conversations/{id}"),
    ("PATCH", "/api/conversations/{id}"),
    ("DELETE", "/api/conversations/{id}"),
    ("GET", "/api/conversations/{id}/messages"),
    ("POST", "/api/conversations/{id}/messages"),
    ("POST", "/api/chat"),
    ("POST", "/api/chat/fake"),
    ("GET", "/api/providers"),
    ("GET", "/api/models"),
    ("GET", "/health/fake"),
]
UNKNOWN = "ck_AAAAAAAA_" + "B" * 40


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_it_wants_a_key(server: Server, provider: Provider, method: str, path: str) -> None:
    path = path.replace("{id}", "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3")
    body: Any = {"message": "hello", "content": "hello"} if method in {"POST", "PATCH"} else None
    response = server.client(None).http.request(method, path, json=body)
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    response = server.client_with(UNKNOWN).http.request(method, path, json=body)
    assert_problem(response, 401, "invalid_api_key")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert not provider.received


def test_a_missing_key_comes_before_a_bad_body(server: Server) -> None:
    """Strangers learn nothing of what is accepted."""
    response = server.client(None).post("/api/chat", content=b"{", headers={"Content-Type": "application/json"})
    assert_problem(response, 401, "not_authenticated")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "not_authenticated"),
        ("Bearer", "not_authenticated"),
        ("Basic YWxpY2U6c2VjcmV0", "not_authenticated"),
        ("{key}", "not_authenticated"),
        ("Token {key}", "not_authenticated"),
        ("Bearer {key} {key}", "invalid_api_key"),
        ("Bearer {key}x", "invalid_api_key"),
        ("Bearer x{key}", "invalid_api_key"),
        ("Bearer sk-something-else", "invalid_api_key"),
        ("Bearer ck_\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4_x", "invalid_api_key"),
        ("Bearer " + "x" * 5000, "invalid_api_key"),
        ("Bearer ck__", "invalid_api_key"),
    ],
)
def test_it_refuses_a_malformed_header(server: Server, databases: Databases, header: str, code: str) -> None:
    value = header.replace("{key}", databases.keys["alice"]).encode("latin-1")
    response = server.client(None).get("/api/providers", headers={b"Authorization": value})
    problem = assert_problem(response, 401, code)
    assert databases.keys["alice"] not in str(problem)


def test_the_scheme_is_case_insensitive(server: Server, databases: Databases) -> None:
    response = server.client(None).get("/api/providers", headers={"Authorization": f"bearer {databases.keys['alice']}"})
    assert response.status_code == 200


def test_it_refuses_a_revoked_key_at_once(server: Server, provider: Provider) -> None:
    dave = server.client("dave")
    conversation = dave.conversation()
    of_dave = "user_id = (SELECT id FROM auth_user WHERE username = 'dave')"
    server.db.query(f"UPDATE apikeys_apikey SET revoked_at = created_at WHERE {of_dave}")
    try:
        assert_problem(dave.get("/api/providers"), 401, "invalid_api_key")
        assert_problem(dave.say(conversation["id"], "hello"), 401, "invalid_api_key")
        assert not provider.received
    finally:
        server.db.query(f"UPDATE apikeys_apikey SET revoked_at = NULL WHERE {of_dave}")
    assert dave.messages(conversation["id"]) == []


def test_no_key_is_in_the_log(server: Server, databases: Databases) -> None:
    server.client("alice").get("/api/providers")
    server.client_with(UNKNOWN).get("/api/providers")
    assert "/api/providers 401" in server.log()
    assert databases.keys["alice"] not in server.log()
    assert UNKNOWN not in server.log()
