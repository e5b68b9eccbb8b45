"""The contract where OpenAI's clients call: the same, but for the conversation that there is none of."""

from typing import Any

import pytest

from tests.chatproject.observability.contract import covers
from tests.chatproject.observability.watch import Header, Watch, is_handled, new_request
from tests.fakes.client import Client
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

PATH = "/v1/chat/completions"
both = pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])


def complete(client: Client, header: Header, model: str, streamed: bool, **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": "hi there"}], "model": model, "stream": streamed, **more}
    return client.post(PATH, json=body, headers=header)


@covers("a turn of `/v1` that is not stored succeeds")
@both
def test_a_completion_is_a_transaction_with_a_span(client: Client, watch: Watch, streamed: bool) -> None:
    header = new_request()
    assert complete(client, header, "echo", streamed).status_code == 200
    seen = watch.of(header)
    seen.fits("a turn of `/v1` that is not stored succeeds")
    assert seen.transaction["transaction"] == PATH
    tags = seen.transaction["tags"]
    assert tags.items() >= {"provider": "fake", "model": "echo", "chat.outcome": "completed"}.items()
    assert "conversation_id" not in tags
    data = seen.attempt["data"]
    assert data.items() >= {"gen_ai.request.model": "echo", "gen_ai.response.streaming": streamed}.items()
    assert data["gen_ai.usage.total_tokens"] > 0
    assert {"gen_ai.conversation.id", "conversation_id"}.isdisjoint(data)


@both
def test_a_completion_that_is_stored_has_its_conversation(client: Client, watch: Watch, streamed: bool) -> None:
    header = new_request()
    conversation = complete(client, header, "echo", streamed, store=True).headers["X-Conversation-ID"]
    seen = watch.of(header)
    seen.fits("a turn succeeds")
    assert seen.transaction["tags"]["conversation_id"] == conversation
    assert seen.attempt["data"]["gen_ai.conversation.id"] == conversation


@covers("a provider fails for good")
@both
@pytest.mark.parametrize(("model", "code"), [("status-500", "server_error"), ("drop-mid-stream", "unreachable")])
def test_a_providers_failure_is_one_event(client: Client, watch: Watch, model: str, code: str, streamed: bool) -> None:
    header = new_request()
    response = complete(client, header, model, streamed)
    in_the_middle = streamed and model == "drop-mid-stream"
    assert (response.status_code == 200) is in_the_middle
    seen = watch.of(header)
    seen.fits("a provider fails for good")
    assert seen.event["event_id"] in response.text
    assert seen.event["fingerprint"] == ["provider-error", "fake", code]
    assert is_handled(seen.event)
    assert seen.event["contexts"]["provider_error"]["code"] == code
    assert "conversation" not in seen.event["contexts"]
    assert "conversation_id" not in seen.event["tags"]
    assert seen.event["contexts"]["trace"]["span_id"] == seen.attempt["span_id"]


@covers("the client leaves")
@both
def test_a_client_that_leaves_is_no_failure(client: Client, provider: Provider, watch: Watch, streamed: bool) -> None:
    header = new_request()
    body = '{"messages": [{"role": "user", "content": "hi"}], "model": "hang-mid-stream", "stream": %s}'
    with client.raw(f"POST {PATH}", body % str(streamed).lower(), **header):
        provider.wait()
    poll(provider.last.hung_up.is_set)
    seen = watch.of(header)
    seen.fits("the client leaves")
    assert seen.transaction["tags"]["chat.outcome"] == seen.attempt["data"]["chat.outcome"] == "cancelled"


REFUSED = [
    (400, "POST", PATH, {"json": {"model": "echo"}}),
    (400, "POST", PATH, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    (401, "GET", "/v1/models", {"headers": {"Authorization": "Bearer none"}}),
    (404, "GET", "/v1/models/gone", {}),
    (405, "GET", PATH, {}),
    (415, "POST", PATH, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}),
]


@covers("we refuse a request")
@pytest.mark.parametrize(("status", "method", "path", "how"), REFUSED)
def test_what_we_refuse_is_no_event(
    client: Client, watch: Watch, status: int, method: str, path: str, how: dict[str, Any]
) -> None:
    header = new_request()
    how = {**how, "headers": {**how.get("headers", {}), **header}}
    assert client.http.request(method, path, **how).status_code == status
    watch.of(header).fits("we refuse a request", status)
