"""Errors in OpenAI's form: what its client makes of each, and what they look like on the wire."""

import json
import secrets
from typing import Any

import httpx2
import openai
import pytest

from providers import errors
from tests.conftest import StartServer
from tests.conversations.openai.conftest import sdk_of
from tests.conversations.openai.test_completions import HELLO, PICTURE
from tests.fakes.client import Client
from tests.fakes.server import Server


def assert_error(response: httpx2.Response, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error"}
    error = dict(response.json()["error"])
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"]
    assert error["request_id"] == response.headers["X-Request-ID"]
    kinds = {429: {"rate_limit_error", "insufficient_quota"}}
    assert error["type"] in kinds.get(status, {"invalid_request_error" if status < 500 else "server_error"})
    return error


def complete(client: Client, **body: Any) -> httpx2.Response:
    return client.post("/v1/chat/completions", json={"model": "echo", "messages": HELLO, **body})


PROVIDERS = [
    ("status-401", 502, "authentication", openai.InternalServerError),
    ("status-402", 502, "quota_exhausted", openai.InternalServerError),
    ("status-429", 429, "rate_limit_exceeded", openai.RateLimitError),
    ("status-400-context", 400, "context_length_exceeded", openai.BadRequestError),
    ("status-400", 400, "provider_bad_request", openai.BadRequestError),
    ("status-404-model", 404, "model_not_found", openai.NotFoundError),
    ("status-400-filter", 400, "content_filter", openai.BadRequestError),
    ("status-408", 504, "timeout", openai.InternalServerError),
    ("reset-at-once", 503, "unreachable", openai.InternalServerError),
    ("status-500", 502, "server_error", openai.InternalServerError),
    ("not-sse", 502, "malformed_answer", openai.InternalServerError),
    ("empty", 502, "empty_answer", openai.InternalServerError),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])
@pytest.mark.parametrize(("model", "status", "code", "kind"), PROVIDERS)
def test_a_providers_failure_is_the_clients_exception(
    client: Client,
    sdk: openai.OpenAI,
    model: str,
    status: int,
    code: str,
    kind: type[openai.APIStatusError],
    streamed: bool,
) -> None:
    with pytest.raises(kind) as caught:
        sdk.chat.completions.create(model=model, messages=HELLO, stream=streamed)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    error = assert_error(caught.value.response, status, code)
    assert error["sentry_event_id"]
    assert (error["provider"], error["model"]) == ("fake", model)
    assert {"conversation_id", "message_id"}.isdisjoint(error), "there are none"


def test_each_failure_of_a_provider_is_tried() -> None:
    assert len(PROVIDERS) == len(errors.ALL) - 1, "all but an open circuit, which needs a server of its own"


def test_the_providers_own_words_are_told_where_they_help(client: Client) -> None:
    error = assert_error(complete(client, model="status-400"), 400, "provider_bad_request")
    assert "temperature: must be at most 1" in error["message"]


def test_a_key_that_is_not_ours_is_an_authentication_error(server: Server) -> None:
    stranger = server.client_with(f"ck_{'a' * 8}_{'b' * 40}")
    with sdk_of(stranger) as sdk, pytest.raises(openai.AuthenticationError) as caught:
        sdk.chat.completions.create(model="echo", messages=HELLO)
    assert_error(caught.value.response, 401, "invalid_api_key")
    for path in ("/v1/models", "/v1/models/local"):
        response = server.client(None).get(path)
        assert_error(response, 401, "not_authenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_what_is_wrong_with_the_request_itself(client: Client) -> None:
    path = "/v1/chat/completions"
    assert_error(client.get("/v1/nothing"), 404, "not_found")
    assert_error(client.post("/v1/embeddings", json={}), 404, "not_found")
    assert_error(client.get("/v1"), 404, "not_found")
    response = client.get(path)
    assert_error(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"
    assert_error(client.post(path, content=b"{", headers={"Content-Type": "application/json"}), 400, "invalid_json")
    assert_error(
        client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}), 415, "unsupported_media_type"
    )
    assert_error(client.post(path, json={"x": "y" * 2_000_000}), 413, "body_too_large")


PART = {"type": "image_url", "image_url": {"url": PICTURE}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "a\x00b"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "x" * 100_001}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
    ({"messages": [*HELLO, {"role": "system", "content": [PART]}]}, "messages[1].content"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages[0].tool_calls[0].type"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "warm"}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"metadata": {"a": "\x00"}}, "metadata"),
    ({"logit_bias": {"\x00": 1}}, "logit_bias"),
    ({"what_is_this": [1e999]}, "body"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=[f"{param}-{n}" for n, (_, param) in enumerate(WRONG)])
def test_a_parameter_that_does_not_fit_is_named(client: Client, body: dict[str, Any], param: str) -> None:
    if param == "body":
        text = json.dumps({"model": "echo", "messages": HELLO, **body})
        response = client.post("/v1/chat/completions", content=text, headers={"Content-Type": "application/json"})
        assert_error(response, 400, "invalid_json")
        return
    assert_error(complete(client, **body), 400, "invalid_request", param)


def test_images_for_a_provider_that_takes_none(client: Client, sdk: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": [PART]}]
    assert_error(complete(client, messages=messages, model="local"), 400, "invalid_request", "messages")


def test_too_many_further_parameters(client: Client) -> None:
    assert_error(complete(client, **{f"p{n}": n for n in range(101)}), 400, "invalid_request", "body")


def test_a_providers_limit_is_tried_again_though_it_does_not_say_when(client: Client) -> None:
    response = complete(client, model="status-429-odd")
    assert_error(response, 429, "rate_limit_exceeded")
    assert {"Retry-After", "x-should-retry"}.isdisjoint(response.headers)


@pytest.mark.parametrize(("model", "status"), [("status-429", 429), ("status-500", 502)])
def test_a_failure_that_is_kept_is_not_asked_for_again(client: Client, model: str, status: int) -> None:
    """With the same Idempotency-Key nothing else ever comes."""
    body, headers = {"model": model, "messages": HELLO}, {"Idempotency-Key": secrets.token_hex(8)}
    first, again = (client.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2))
    for response in (first, again):
        assert (response.status_code, response.headers["x-should-retry"]) == (status, "false")
    assert again.content == first.content


def test_what_a_replay_cannot_tell_is_not_asked_for_again(client: Client, server: Server) -> None:
    body, headers = {"model": "echo", "messages": HELLO}, {"Idempotency-Key": secrets.token_hex(8)}
    assert client.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    server.db.query("UPDATE conversations_idempotentrequest SET body = '' WHERE key = ?", headers["Idempotency-Key"])
    response = client.post("/v1/chat/completions", json=body, headers=headers)
    assert_error(response, 409, "idempotency_not_kept")
    assert response.headers["x-should-retry"] == "false"


def test_an_open_circuit(start_server: StartServer) -> None:
    client = start_server(CHAT_CIRCUIT_FAILURES="1").client()
    assert_error(complete(client, model="status-500"), 502, "server_error")
    assert_error(complete(client, model="status-500"), 503, "circuit_open")


def test_an_endpoint_of_ours_keeps_its_problem_documents(client: Client) -> None:
    response = client.get("/v10/models")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")
