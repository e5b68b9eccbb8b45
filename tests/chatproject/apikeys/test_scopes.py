"""Scopes: every endpoint that wants a key wants one of a scope, and says which."""

from typing import Any, NamedTuple

import pytest

from chatproject.api import api
from tests.chatproject.apikeys.issuing import add_key
from tests.fakes.client import assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server

ID = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"
OPEN = {"/health", "/health/ready", "/sentry-debug"}
ADMIN = {"/health/{provider}", "/metrics"}


class Route(NamedTuple):
    method: str
    path: str
    scope: str

    @property
    def address(self) -> str:
        parts = [("fake" if "provider" in part else ID) if "{" in part else part for part in self.path.split("/")]
        return "/".join(parts)


def routes() -> list[Route]:
    """Every operation of the OpenAPI document that wants a key."""
    found = []
    for path, operations in api.get_openapi_schema()["paths"].items():
        for method, operation in operations.items():
            scope = "admin" if path in ADMIN else "read" if method == "get" else "chat"
            if operation.get("security"):
                found.append(Route(method.upper(), path, scope))
            else:
                assert path in OPEN, "an endpoint without a key"
    return found


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.method} {route.path}")
def test_it_wants_its_scope(server: Server, keys: dict[str, str], provider: Provider, route: Route) -> None:
    body: Any = {} if route.method in {"POST", "PATCH", "PUT"} else None
    for scope, key in keys.items():
        response = server.client_with(key).http.request(route.method, route.address, json=body)
        if scope == route.scope:
            assert response.status_code not in {401, 403}, response.text
        else:
            assert response.status_code == 403
            assert "missing_scope" in response.text
            assert f"`{route.scope}`" in response.text
            assert f'scope="{route.scope}"' in response.headers["WWW-Authenticate"]
    assert not provider.chats


@pytest.fixture(scope="module")
def keys(server: Server) -> dict[str, str]:
    """A key for each scope."""
    return {scope: add_key(server.db, scopes=(scope,)) for scope in ("chat", "read", "admin")}


def test_the_problem_names_the_scope(server: Server, keys: dict[str, str]) -> None:
    problem = assert_problem(server.client_with(keys["read"]).post("/api/conversations", json={}), 403, "missing_scope")
    assert problem["scope"] == "chat"


def test_a_head_request_reads(server: Server, keys: dict[str, str]) -> None:
    assert server.client_with(keys["read"]).http.head("/api/providers").status_code == 200
    assert server.client_with(keys["chat"]).http.head("/api/providers").status_code == 403


def test_an_expired_key_is_as_wrong_as_an_unknown_one(server: Server) -> None:
    unknown = server.client_with("ck_AAAAAAAA_" + "B" * 40).get("/api/providers")
    for until, status in (("2020-01-01 00:00:00+00", 401), ("2999-01-01 00:00:00+00", 200)):
        response = server.client_with(add_key(server.db, expires_at=until)).get("/api/providers")
        assert response.status_code == status
        if status == 401:
            problem, other = assert_problem(response, 401, "invalid_api_key"), unknown.json()
            assert {**problem, "request_id": ""} == {**other, "request_id": ""}
