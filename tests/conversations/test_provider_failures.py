"""Every way in which a provider fails: the right problem, the partial text kept, one event that both name."""

from typing import Any

import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

# model of the fake provider, HTTP status, code, text before the failure
FAILURES = [
    ("status-400", 400, "provider_bad_request", ""),
    ("status-400-context", 413, "context_too_long", ""),
    ("status-400-filter", 422, "content_filter", ""),
    ("status-401", 502, "authentication", ""),
    ("status-404-model", 400, "unknown_model", ""),
    ("status-429", 429, "rate_limited", ""),
    ("status-429-odd", 429, "rate_limited", ""),
    ("status-500", 502, "server_error", ""),
    ("not-sse", 502, "malformed_answer", ""),
    ("redirect", 502, "malformed_answer", ""),
    ("drop-mid-stream", 503, "unreachable", PARTIAL),
    ("close-mid-stream", 503, "unreachable", PARTIAL),
    ("error-in-stream", 502, "server_error", PARTIAL),
    ("limit-in-stream", 429, "rate_limited", PARTIAL),
    ("no-finish", 502, "malformed_answer", PARTIAL),
    ("garbage", 502, "malformed_answer", PARTIAL),
    ("endless-event", 502, "malformed_answer", PARTIAL),
]
each_failure = pytest.mark.parametrize(("model", "status", "code", "text"), FAILURES, ids=[f[0] for f in FAILURES])


@each_failure
def test_a_blocking_turn_answers_with_the_problem(
    client: Client, server_ingest: Ingest, model: str, status: int, code: str, text: str
) -> None:
    conversation = client.conversation()
    response = client.say(conversation["id"], "hello", model=model)
    problem = assert_problem(response, status, code)
    asked, answer = client.messages(conversation["id"])
    assert (asked["content"], asked["status"]) == ("hello", "completed")
    assert (answer["content"], answer["status"], answer["error_code"]) == (text, "failed", code)
    assert (problem["conversation_id"], problem["message_id"]) == (conversation["id"], answer["id"])
    assert (problem["provider"], problem["trace_id"]) == ("fake", answer["trace_id"])
    assert problem["sentry_event_id"] == answer["sentry_event_id"]
    event = event_of(server_ingest, problem["sentry_event_id"])
    assert event["tags"]["conversation_id"] == conversation["id"]
    assert event["tags"]["provider"] == "fake"
    assert event["contexts"]["provider_error"]["code"] == code


def event_of(ingest: Ingest, event_id: str) -> dict[str, Any]:
    """The event with this id, as soon as it is here."""
    return dict(poll(lambda: next((e for e in ingest.items("event") if e["event_id"] == event_id), None)))


@each_failure
def test_a_streamed_turn_ends_with_the_problem(client: Client, model: str, status: int, code: str, text: str) -> None:
    conversation = client.conversation()
    created, *deltas, failed = client.events(conversation["id"], "hello", model=model)
    assert failed.name == "message.failed"
    assert failed.id == len(deltas) + 1
    assert (failed.data["status"], failed.data["code"]) == (status, code)
    assert "".join(event.data["delta"] for event in deltas) == text
    answer = client.messages(conversation["id"])[-1]
    assert answer["id"] == created.data["id"] == failed.data["message_id"]
    assert (answer["content"], answer["status"], answer["error_code"]) == (text, "failed", code)
    assert failed.data["sentry_event_id"] == answer["sentry_event_id"] is not None
    assert failed.data["request_id"] == answer["request_id"]


def test_the_wait_that_a_provider_asks_for_is_passed_on(client: Client) -> None:
    assert client.say(client.conversation()["id"], "hello", model="status-429").headers["Retry-After"] == "7"


def test_a_wait_that_is_none_is_not_passed_on(client: Client) -> None:
    response = client.say(client.conversation()["id"], "hello", model="status-429-odd")
    assert response.headers.get("Retry-After", "1").isdecimal()


def test_our_key_is_in_no_answer(client: Client) -> None:
    assert "fake-secret" not in client.say(client.conversation()["id"], "hello", model="status-401").text


def test_the_providers_words_help_where_the_request_was_at_fault(client: Client) -> None:
    problem = client.say(client.conversation()["id"], "hello", model="status-400").json()
    assert problem["provider_message"] == "temperature: must be at most 1"
    assert "provider_message" not in client.say(client.conversation()["id"], "hello", model="status-500").json()


def test_the_conversation_goes_on_after_a_failure(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "one", model="status-500")
    client.say(conversation["id"], "two", model="error-in-stream")
    assert client.say(conversation["id"], "three").status_code == 200
    assert [message["content"] for message in provider.last.messages[1:]] == ["one\n\ntwo", PARTIAL, "three"]


def test_a_provider_that_is_not_there_is_unreachable(client: Client) -> None:
    conversation = client.conversation(provider="local")
    assert_problem(client.say(conversation["id"], "hello"), 503, "unreachable")
    assert client.messages(conversation["id"])[-1]["status"] == "failed"


def test_a_silent_provider_is_a_timeout(start_server: StartServer) -> None:
    client = start_server(CHAT_FIRST_TOKEN_TIMEOUT="0.3", CHAT_SILENCE_TIMEOUT="0.3").client()
    for model, text in (("hang", ""), ("hang-mid-stream", PARTIAL)):
        conversation = client.conversation()
        assert_problem(client.say(conversation["id"], "hello", model=model), 504, "timeout")
        answer = client.messages(conversation["id"])[-1]
        assert (answer["status"], answer["content"]) == ("failed", text)


def test_no_answer_event_or_log_repeats_the_conversation(
    start_server: StartServer, databases: Databases, ingest: Ingest
) -> None:
    """Whatever fails, the words of a conversation are the caller's and the database's alone."""
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    for model, *_ in FAILURES:
        client.say(client.conversation(system_prompt="xyzzy-system")["id"], "xyzzy-question", model=model)
    client.close()
    server.terminate()
    sent = b"".join(ingest.raw).decode()
    assert len(ingest.items("event")) >= len(FAILURES)
    assert len(ingest.items("transaction")) == 2 * len(FAILURES)
    for secret in ("xyzzy", "fake-secret", databases.keys["alice"]):
        assert secret not in sent
        assert secret not in server.log()
