"""The OpenAPI document: every endpoint, its errors and its examples."""

import re
from typing import Any

import pytest

from tests.fakes.client import Client

ENDPOINTS = {
    "/api/conversations": {"get", "post"},
    "/api/conversations/{conversation_id}": {"get", "patch", "delete"},
    "/api/conversations/{conversation_id}/messages": {"get", "post"},
    "/api/chat": {"post"},
    "/api/conversations/{conversation_id}/messages/{message_id}/attempts": {"get"},
    "/api/conversations/{conversation_id}/messages/{message_id}/cancel": {"post"},
    "/api/conversations/{conversation_id}/messages/{message_id}/events": {"get"},
    "/api/conversations/{conversation_id}/messages/{message_id}/feedback": {"post"},
    "/api/chat/{provider}": {"post"},
    "/api/conversations/{conversation_id}/restore": {"post"},
    "/api/conversations/{conversation_id}/fork": {"post"},
    "/api/conversations/{conversation_id}/messages/{message_id}/regenerate": {"post"},
    "/api/conversations/{conversation_id}/messages/{message_id}/edit": {"post"},
    "/api/conversations/search": {"get"},
    "/api/stats": {"get"},
    "/api/assistants": {"get", "post"},
    "/api/assistants/{assistant_id}": {"get", "patch", "delete"},
    "/api/conversations/export": {"get"},
    "/api/conversations/{conversation_id}/export": {"get"},
    "/api/conversations/import": {"post"},
    "/api/providers": {"get"},
    "/api/models": {"get"},
    "/v1/chat/completions": {"post"},
    "/v1/models": {"get"},
    "/v1/models/{model}": {"get"},
    "/health": {"get"},
    "/health/ready": {"get"},
    "/health/{provider}": {"get"},
    "/metrics": {"get"},
    "/sentry-debug": {"get"},
}
OPEN = {"/health", "/health/ready", "/sentry-debug"}
TURNS = [
    "/api/conversations/{conversation_id}/messages",
    "/api/conversations/{conversation_id}/messages/{message_id}/regenerate",
    "/api/conversations/{conversation_id}/messages/{message_id}/edit",
    "/api/chat",
    "/api/chat/{provider}",
]


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    return dict(client.get("/api/openapi.json").json())


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, item in document["paths"].items() for operation in item.values()]


def test_it_lists_every_endpoint(document: dict[str, Any]) -> None:
    assert {path: set(item) for path, item in document["paths"].items()} == ENDPOINTS


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    for path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path


def test_every_endpoint_but_the_open_ones_wants_a_key(document: dict[str, Any]) -> None:
    [scheme] = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operation in operations(document):
        assert bool(operation.get("security")) is (path not in OPEN), path
        assert ("401" in operation["responses"]) is (path not in OPEN), path


def test_every_error_is_a_problem_document_with_an_example_for_each_code(document: dict[str, Any]) -> None:
    for path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400 or path == "/health/ready" or path.startswith("/v1/"):
                continue
            assert list(response["content"]) == ["application/problem+json"], (path, status)
            examples = response["content"]["application/problem+json"]["examples"]
            assert examples, (path, status)
            assert {example["value"]["status"] for example in examples.values()} == {int(status)}


@pytest.mark.parametrize("path", TURNS)
def test_a_turn_documents_all_that_can_go_wrong_and_the_stream(document: dict[str, Any], path: str) -> None:
    responses = document["paths"][path]["post"]["responses"]
    assert set(map(int, responses)) >= {200, 400, 401, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504}
    assert set(responses["200"]["content"]) == {"application/json", "text/event-stream"}
    codes = [
        code
        for response in responses.values()
        for code in response["content"].get("application/problem+json", {}).get("examples", {})
    ]
    assert {"turn_in_progress", "rate_limited", "context_too_long", "timeout", "unreachable"} <= set(codes)


@pytest.mark.parametrize("path", TURNS)
def test_the_examples_of_a_stream_show_every_event(document: dict[str, Any], path: str) -> None:
    examples = document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]["examples"]
    streams = [example["value"] for example in examples.values()]
    shown = {event for stream in streams for event in re.findall(r"^event: message\.(.*)$", stream, re.MULTILINE)}
    assert shown == {"created", "delta", "reasoning", "completed", "failed"}
    for stream in streams:
        ids = [int(id) for id in re.findall(r"^id: (.*)$", stream, re.MULTILINE)]
        assert ids == list(range(len(ids)))


def test_what_openais_clients_call_has_errors_of_their_form(document: dict[str, Any]) -> None:
    for path, operation in operations(document):
        for status, response in operation["responses"].items():
            if path.startswith("/v1/") and int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/OpenAIError"}, (path, status)
    responses = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(map(int, responses)) >= {200, 400, 401, 404, 409, 413, 415, 429, 500, 502, 503, 504}
    assert "422" not in responses


def test_an_operation_lists_only_the_errors_that_it_can_answer(document: dict[str, Any]) -> None:
    """Reading a list takes no provider and no body."""
    responses = document["paths"]["/api/conversations"]["get"]["responses"]
    codes = [
        code
        for status, response in responses.items()
        if int(status) >= 400
        for code in response["content"]["application/problem+json"]["examples"]
    ]
    assert "turn_in_progress" not in codes
    assert "unknown_model" not in codes
    assert "content_filter" not in codes


def test_every_post_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            names = {parameter["name"] for parameter in operation.get("parameters", ())}
            assert ("Idempotency-Key" in names) is (method == "post"), path
            if method == "post" and path.startswith("/api/"):
                conflict = operation["responses"]["409"]["content"]["application/problem+json"]
                assert "idempotency_in_progress" in conflict["examples"], path


def test_requests_have_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["MessageIn"]["properties"]["content"]["examples"]
    assert schemas["ChatIn"]["properties"]["message"]["examples"]


def test_the_page_needs_no_other_server(client: Client) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)
    for path in re.findall(r"""(?:src|href)=["'](/static/[^"']+)""", page.text):
        asset = client.get(path)
        assert asset.status_code == 200, path
        assert len(asset.content) > 100, path
