"""The contract's table in docs/sentry.md, row by row: what a real server sends is counted and judged."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from providers import errors
from tests.chatproject.apikeys.issuing import add_key
from tests.chatproject.observability.contract import ROWS, covered, covers
from tests.chatproject.observability.watch import (
    Watch,
    is_handled,
    is_told_everywhere,
    last_of,
    new_request,
    path_of,
    seconds,
    turn,
)
from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

Json = dict[str, Any]
both = pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])


def test_every_row_of_the_table_has_a_test() -> None:
    assert set(ROWS) == covered()


# Turns


@covers("a turn succeeds")
@both
def test_a_success_is_a_transaction_with_a_span(client: Client, watch: Watch, streamed: bool) -> None:
    header, _, answer = turn(client, "slow", streamed)
    seen = watch.of(header)
    seen.fits("a turn succeeds")
    ids = {"provider": "fake", "model": "slow", "conversation_id": answer["conversation_id"]}
    assert seen.transaction["tags"].items() >= {**ids, "chat.outcome": "completed"}.items()
    assert seconds(seen.transaction) >= seconds(seen.attempt) >= 2, "the provider takes two seconds"
    usage = answer["usage"]
    assert seen.attempt["status"] == "ok"
    assert (
        seen.attempt["data"].items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "fake",
            "gen_ai.request.model": "slow",
            "gen_ai.response.model": "slow-2026",
            "gen_ai.response.streaming": streamed,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.conversation.id": answer["conversation_id"],
            "gen_ai.usage.input_tokens": usage["prompt_tokens"],
            "gen_ai.usage.output_tokens": usage["completion_tokens"],
            "gen_ai.usage.total_tokens": usage["total_tokens"],
            "chat.outcome": "completed",
        }.items()
    )
    assert usage["completion_tokens"] == 40
    assert 0 < seen.attempt["data"]["gen_ai.response.time_to_first_token"] <= (answer["ttft_ms"] + 1) / 1000


@covers("an attempt fails and a retry or fallback succeeds")
@both
@pytest.mark.parametrize("kind", ["retry", "fallback"])
def test_a_failure_that_is_made_good_is_no_event(
    start_server: StartServer, ingest: Ingest, watch: Watch, kind: str, streamed: bool
) -> None:
    retries = {"CHAT_RETRIES": "1", "CHAT_RETRY_WAIT": "0.01"} if kind == "retry" else {"FAKE_FALLBACK_MODEL": "echo"}
    server, watch = start_server(SENTRY_DSN=ingest.dsn, **retries), watch.at(ingest)
    header, status, answer = turn(server.client(), "flaky-1", streamed)
    assert (status, answer["status"], answer["sentry_event_id"]) == (200, "completed", None)
    seen = watch.of(header)
    seen.fits("an attempt fails and a retry or fallback succeeds")
    model = "flaky-1" if kind == "retry" else "echo"
    assert seen.transaction["tags"].items() >= {"model": model, "chat.outcome": "completed"}.items()
    failed, made_good = (span for span in seen.transaction["spans"] if span["op"] == "gen_ai.chat")
    assert (failed["status"], failed["data"]["chat.outcome"]) == ("internal_error", "failed")
    assert (made_good["status"], made_good["data"]["chat.outcome"]) == ("ok", "completed")
    assert made_good["data"]["gen_ai.request.model"] == model


FAILING = {
    "authentication": ["status-401"],
    "quota_exhausted": ["status-402"],
    "rate_limited": ["status-429", "limit-in-stream"],
    "context_too_long": ["status-400-context"],
    "provider_bad_request": ["status-400"],
    "unknown_model": ["status-404-model"],
    "content_filter": ["status-400-filter", "filtered"],
    "timeout": ["status-408"],
    "unreachable": ["drop-mid-stream"],
    "server_error": ["status-500", "error-in-stream"],
    "malformed_answer": ["not-sse", "garbage"],
    "empty_answer": ["empty"],
}
"""Error code -> models that fail so, before the answer's first word or after it."""
FAILURES = [(code, model) for code, models in FAILING.items() for model in models]


def test_each_error_code_is_tried() -> None:
    assert set(FAILING) | {"circuit_open"} == {error.code for error in errors.ALL}


@covers("a provider fails for good")
@both
@pytest.mark.parametrize(("code", "model"), FAILURES)
def test_a_providers_failure_is_one_event(client: Client, watch: Watch, code: str, model: str, streamed: bool) -> None:
    header, status, answer = turn(client, model, streamed)
    error = {error.code: error for error in errors.ALL}[code]
    assert (status, answer["code"]) == (200 if streamed else error.status, code)
    seen = watch.of(header)
    seen.fits("a provider fails for good")
    is_told_everywhere(seen, answer, client)
    assert seen.event["fingerprint"] == ["provider-error", "fake", code]
    assert seen.event["level"] == ("warning" if code == "rate_limited" else "error")
    assert is_handled(seen.event)
    contexts = seen.event["contexts"]
    assert contexts["provider_error"]["code"] == code
    assert (contexts["provider"]["name"], contexts["provider"]["model"]) == ("fake", model)
    assert contexts["chat_request"]["stream"] is streamed
    assert contexts["trace"]["span_id"] == seen.attempt["span_id"]
    assert seen.attempt["status"] == "internal_error"
    assert seen.attempt["data"]["chat.outcome"] == "failed"


@covers("a provider fails for good")
@both
def test_an_open_circuit_is_one_event(start_server: StartServer, ingest: Ingest, watch: Watch, streamed: bool) -> None:
    server, watch = start_server(SENTRY_DSN=ingest.dsn, CHAT_CIRCUIT_FAILURES="1"), watch.at(ingest)
    client = server.client()
    turn(client, "status-500", streamed)
    header, status, answer = turn(client, "status-500", streamed)
    assert (status, answer["code"]) == (200 if streamed else 503, "circuit_open")
    seen = watch.of(header)
    assert len(seen.events) == 1
    is_told_everywhere(seen, answer, client)
    assert seen.event["fingerprint"] == ["provider-error", "fake", "circuit_open"]
    assert is_handled(seen.event)
    assert seen.attempts == [], "nobody was asked"


@covers("the client leaves")
@both
def test_a_client_that_leaves_is_no_failure(client: Client, watch: Watch, streamed: bool) -> None:
    header, path = new_request(), path_of(client)
    body = json.dumps({"content": "hi", "model": "hang-mid-stream", "stream": streamed})
    with client.raw(f"POST {path}", body, **header):
        client.wait_saved(path.split("/")[3], PARTIAL)
    seen = watch.of(header)
    seen.fits("the client leaves")
    assert seen.transaction["tags"]["chat.outcome"] == "cancelled"
    assert seen.attempt["status"] == "ok"
    assert seen.attempt["data"]["chat.outcome"] == "cancelled"


@covers("somebody cancels a turn")
@both
def test_a_cancelled_turn_is_no_failure(client: Client, server: Server, watch: Watch, streamed: bool) -> None:
    header, path, other = new_request(), path_of(client), server.client()
    body = {"content": "hi", "model": "hang-mid-stream", "stream": streamed}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, path, json=body, headers=header)
        other.wait_saved(path.split("/")[3], PARTIAL)
        answer = other.messages(path.split("/")[3])[-1]
        assert other.post(f"{path}/{answer['id']}/cancel").json()["status"] == "cancelled"
        response = asking.result(20)
    assert (response.status_code, last_of(response)["code"]) == (200 if streamed else 409, "cancelled")
    seen = watch.of(header)
    seen.fits("somebody cancels a turn")
    assert seen.transaction["tags"]["chat.outcome"] == "cancelled"
    assert seen.attempt["status"] == "ok"
    assert seen.attempt["data"]["chat.outcome"] == "cancelled"


@covers("a shutdown interrupts a turn")
@both
def test_a_shutdown_in_a_turn_is_no_event(
    start_server: StartServer, ingest: Ingest, watch: Watch, streamed: bool
) -> None:
    server, watch = start_server(SENTRY_DSN=ingest.dsn, GRACEFUL_TIMEOUT="4"), watch.at(ingest)
    client, header = server.client(), new_request()
    path = path_of(client)
    body = {"content": "hi", "model": "hang-mid-stream", "stream": streamed}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, path, json=body, headers=header)
        server.client().wait_saved(path.split("/")[3], PARTIAL)
        server.signal(signal.SIGTERM)
        response = asking.result(20)
    assert (response.status_code, last_of(response)["code"]) == (200 if streamed else 503, "interrupted")
    seen = watch.of(header)
    seen.fits("a shutdown interrupts a turn")
    assert seen.transaction["tags"]["chat.outcome"] == "interrupted"
    assert seen.attempt["status"] == "ok"
    assert seen.attempt["data"]["chat.outcome"] == "interrupted"


# Refusals


CHAT, NOBODY = "/api/chat", "/api/conversations/01a20d3d-1df6-76fb-b6fa-0a88fa10974e/messages"
REFUSED = [
    (400, "POST", CHAT, {"message": "hi", "provider": "nobody"}),
    (404, "POST", NOBODY, {"content": "hi"}),
    (404, "GET", "/no/such/path", None),
    (405, "DELETE", CHAT, None),
    (413, "POST", CHAT, {"message": "x" * 2_100_000}),
    (422, "POST", CHAT, {"message": ""}),
]


@covers("we refuse a request")
@both
@pytest.mark.parametrize(("status", "method", "path", "body"), REFUSED)
def test_what_we_refuse_is_no_event(
    client: Client, watch: Watch, status: int, method: str, path: str, body: Json | None, streamed: bool
) -> None:
    header = new_request()
    payload = body and {**body, "stream": streamed}
    assert client.http.request(method, path, json=payload, headers=header).status_code == status
    watch.of(header).fits("we refuse a request", status)


@covers("we refuse a request")
@both
def test_what_is_no_json_is_no_event(client: Client, watch: Watch, streamed: bool) -> None:
    header, body = new_request(), {"message": "hi", "stream": streamed}
    assert client.post(CHAT, json=body, headers={**header, "Content-Type": "text/plain"}).status_code == 415
    watch.of(header).fits("we refuse a request", 415)


@covers("we refuse a request")
@pytest.mark.parametrize("key", [None, "ck_12345678_not-a-key"])
def test_a_missing_or_wrong_key_is_no_event(server: Server, watch: Watch, key: str | None) -> None:
    header = new_request()
    assert server.client_with(key).post(CHAT, json={"message": "hi"}, headers=header).status_code == 401
    watch.of(header).fits("we refuse a request", 401)


@covers("we refuse a request")
def test_a_key_that_may_not_is_no_event(buggy_server: Server, watch: Watch) -> None:
    header = new_request()
    assert buggy_server.client("alice").get("/sentry-debug", headers=header).status_code == 403
    watch.of(header).fits("we refuse a request", 403)


@covers("we refuse a request")
@both
def test_what_a_limit_of_the_key_refuses_is_a_metric_and_no_event(
    server: Server, watch: Watch, server_ingest: Ingest, streamed: bool
) -> None:
    limits = {"requests_per_minute": 1, "concurrent_turns": 1}
    client, header = server.client_with(add_key(server.db, **limits)), new_request()
    body = {"message": "hi", "stream": streamed}
    assert [client.post(CHAT, json=body, headers=header).status_code for header in (new_request(), header)] == [
        200,
        429,
    ]
    watch.of(header).fits("we refuse a request", 429)

    def counted() -> list[Json]:
        metrics = [item for payload in server_ingest.items("trace_metric") for item in payload["items"]]
        return [item["attributes"]["code"] for item in metrics if item["name"] == "chat.limited"]

    poll(lambda: {"value": "too_many_requests", "type": "string"} in counted(), 10, "metric")


@covers("we refuse a request")
@both
def test_a_second_turn_at_once_is_no_event(client: Client, provider: Provider, watch: Watch, streamed: bool) -> None:
    header, path = new_request(), path_of(client)
    with client.raw(f"POST {path}", json.dumps({"content": "first", "model": "hang"})):
        provider.wait()
        response = client.post(path, json={"content": "second", "stream": streamed}, headers=header)
    assert response.status_code == 409
    watch.of(header).fits("we refuse a request", 409)


# Bugs of ours


@covers("a bug of ours, in a turn")
@both
@pytest.mark.parametrize("model", ["bug-before", "bug-mid-stream"])
def test_a_bug_in_a_turn_is_one_unhandled_event(buggy_server: Server, watch: Watch, model: str, streamed: bool) -> None:
    client = buggy_server.client()
    header, status, answer = turn(client, model, streamed)
    assert (status, answer["code"]) == (200 if streamed else 500, "internal_error")
    seen = watch.of(header)
    seen.fits("a bug of ours, in a turn")
    is_told_everywhere(seen, answer, client)
    assert not is_handled(seen.event)
    assert seen.event["contexts"]["trace"]["span_id"] == seen.attempt["span_id"]
    assert seen.attempt["status"] == "internal_error"
    assert seen.attempt["data"]["chat.outcome"] == "failed"


@covers("a bug of ours, outside of a turn")
@pytest.mark.parametrize("path", ["/broken/view", "/broken/sync", "/broken/stream"])
def test_a_bug_elsewhere_is_one_unhandled_event(buggy_server: Server, watch: Watch, path: str) -> None:
    header = new_request()
    if path == "/broken/stream":
        with pytest.raises(httpx2.RemoteProtocolError):
            buggy_server.client().get(path, headers=header)
    else:
        response = buggy_server.client().get(path, headers=header)
        problem = assert_problem(response, 500, "internal_error")
    seen = watch.of(header)
    seen.fits("a bug of ours, outside of a turn")
    assert not is_handled(seen.event)
    assert path == "/broken/stream" or problem["sentry_event_id"] == seen.event["event_id"]


@covers("`/sentry-debug` is read")
def test_sentry_debug_is_one_unhandled_event(server: Server, watch: Watch) -> None:
    header = new_request()
    problem = assert_problem(server.client(None).get("/sentry-debug", headers=header), 500, "internal_error")
    seen = watch.of(header)
    seen.fits("`/sentry-debug` is read")
    assert not is_handled(seen.event)
    assert problem["sentry_event_id"] == seen.event["event_id"]
    assert problem["trace_id"] == seen.event["contexts"]["trace"]["trace_id"]
    assert seen.event["transaction"] == "/sentry-debug"


# What is not worth a word


@covers("a health endpoint or a static file is read")
@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/health/ready", 200), ("/health/local", 503), ("/static/admin/css/base.css", 200)],
)
def test_probes_and_static_files_are_nothing(client: Client, watch: Watch, path: str, status: int) -> None:
    header, after = new_request(), new_request()
    assert client.get(path, headers=header).status_code == status
    client.get("/api/providers", headers=after)
    watch.of(after)
    watch.so_far(header).fits("a health endpoint or a static file is read")
