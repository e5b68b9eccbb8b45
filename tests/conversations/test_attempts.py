"""A turn that needs more than one attempt, or none that helps: what the caller gets, what is stored, who was asked."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import ECHO, PARTIAL
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

QUICK = {"CHAT_RETRIES": "2", "CHAT_RETRY_WAIT": "0.01"}


@pytest.fixture
def other() -> Iterator[Provider]:
    """A second provider, of another company."""
    with Provider() as provider:
        yield provider


def with_stand_in(other: Provider, **more: str) -> dict[str, str]:
    return {
        **QUICK,
        "CHAT_PROVIDERS": "fake,other",
        "OTHER_BASE_URL": other.url,
        "OTHER_MODEL": "echo",
        "CHAT_FALLBACKS": "fake=other",
        **more,
    }


def attempts(server: Server, message: Json) -> list[tuple[Any, ...]]:
    """(provider, model, outcome, code) of the message's attempts, in order."""
    rows = server.db.query("SELECT * FROM conversations_messageattempt ORDER BY number")
    of_message = [row for row in rows if UUID(str(row["message_id"])) == UUID(message["id"])]
    return [(row["provider"], row["model"], row["outcome"], row["error_code"]) for row in of_message]


@pytest.mark.parametrize("stream", [False, True])
def test_an_attempt_that_fails_is_made_again(start_server: StartServer, provider: Provider, stream: bool) -> None:
    server = start_server(**QUICK)
    client, model = server.client(), f"flaky-2-{stream}"
    answer = turn(client, "hello", stream, model=model)
    assert (answer["status"], answer["content"]) == ("completed", f"{ECHO}hello")
    assert len(provider.chats) == 3
    assert attempts(server, answer) == [
        ("fake", model, "failed", "server_error"),
        ("fake", model, "failed", "server_error"),
        ("fake", model, "completed", ""),
    ]


def turn(client: Client, content: str, stream: bool, **fields: Any) -> Json:
    """The message as the answer to a successful turn shows it."""
    conversation = client.conversation()["id"]
    if stream:
        return client.events(conversation, content, **fields)[-1].data
    return dict(client.say(conversation, content, **fields).json())


def test_an_answer_that_has_begun_is_not_begun_again(start_server: StartServer, provider: Provider) -> None:
    client = start_server(**QUICK).client()
    conversation = client.conversation()["id"]
    assert_problem(client.say(conversation, "hello", model="drop-mid-stream"), 503, "unreachable")
    assert len(provider.chats) == 1
    assert client.messages(conversation)[-1]["content"] == PARTIAL


def test_when_no_attempt_helps_each_is_told_of(start_server: StartServer, provider: Provider) -> None:
    server = start_server(**QUICK)
    client = server.client()
    problem = assert_problem(client.say(client.conversation()["id"], "hello", model="status-503"), 502, "server_error")
    assert [(a["model"], a["outcome"], a["code"]) for a in problem["attempts"]] == [
        ("status-503", "failed", "server_error")
    ] * 3
    assert len(provider.chats) == 3


def test_a_request_that_is_wrong_is_not_made_again(start_server: StartServer, provider: Provider) -> None:
    client = start_server(**QUICK).client()
    assert_problem(client.say(client.conversation()["id"], "hi", model="status-400"), 400, "provider_bad_request")
    assert len(provider.chats) == 1


def test_the_wait_that_the_provider_asks_for_is_kept(start_server: StartServer, provider: Provider) -> None:
    client = start_server(**QUICK, CHAT_RETRY_WAIT_MAX="3").client()
    assert client.say(client.conversation()["id"], "hi", model="limited-1").status_code == 200
    assert len(provider.chats) == 2
    problem = assert_problem(client.say(client.conversation()["id"], "hi", model="status-429"), 429, "rate_limited")
    assert len(provider.chats) == 3, "seven seconds are too many"
    assert "attempts" not in problem


def test_the_fallback_model_answers_for_one_that_fails(start_server: StartServer, provider: Provider) -> None:
    server = start_server(**QUICK, FAKE_MODEL="status-500", FAKE_FALLBACK_MODEL="echo")
    client = server.client()
    answer = client.say(client.conversation()["id"], "hello").json()
    assert (answer["status"], answer["model"]) == ("completed", "echo-2026")
    assert [chat.body["model"] for chat in provider.chats] == ["status-500"] * 3 + ["echo"]


def test_another_provider_answers_when_the_configuration_says_so(
    start_server: StartServer, provider: Provider, other: Provider
) -> None:
    server = start_server(**with_stand_in(other))
    client = server.client()
    conversation = client.conversation()["id"]
    answer = client.say(conversation, "hello", model="status-401").json()
    assert (answer["status"], answer["provider"], answer["model"]) == ("completed", "other", "echo-2026")
    assert client.messages(conversation)[-1] == answer
    assert other.last.messages[-1] == {"role": "user", "content": "hello"}
    assert provider.last.headers["authorization"]
    assert "authorization" not in other.last.headers, "it has no key, and gets nobody else's"
    assert client.read(conversation)["provider"] == "fake", "the next turn asks the conversation's own again"
    assert attempts(server, answer) == [
        ("fake", "status-401", "failed", "authentication"),
        ("other", "echo", "completed", ""),
    ]


def test_a_stand_in_with_a_small_context_gets_the_end_of_the_conversation(
    start_server: StartServer, other: Provider
) -> None:
    server = start_server(**with_stand_in(other, OTHER_HISTORY_TOKENS="200"))
    client = server.client()
    conversation = client.conversation(system_prompt="Be brief.")["id"]
    for _ in range(3):
        client.say(conversation, "word " * 50)
    assert client.say(conversation, "and now?", model="status-401").json()["provider"] == "other"
    system, *past, last = other.last.messages
    assert (system["content"], last["content"]) == ("Be brief.", "and now?")
    assert len(past) < 6


def test_without_the_configuration_nobody_else_sees_the_text(start_server: StartServer, other: Provider) -> None:
    client = start_server(**with_stand_in(other, CHAT_FALLBACKS="")).client()
    assert_problem(client.say(client.conversation()["id"], "hello", model="status-401"), 502, "authentication")
    assert other.chats == []


def test_a_success_after_a_failure_is_no_event_but_a_trail(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(**QUICK, SENTRY_DSN=ingest.dsn)
    client = server.client()
    turn(client, "hello", False, model="flaky-1-trail")
    [sent] = poll(lambda: turns_told(ingest, 1), 10, "transaction")
    spans = [span for span in sent["spans"] if span["op"] == "gen_ai.chat"]
    assert [(span["status"], span["data"]["chat.outcome"]) for span in spans] == [
        ("internal_error", "failed"),
        ("ok", "completed"),
    ]
    assert sent["contexts"]["trace"]["status"] == "ok"
    client.close()
    server.terminate()
    assert ingest.items("event") == []
    metrics = [item for payload in ingest.items("trace_metric") for item in payload["items"]]
    [retry] = [item for item in metrics if item["name"] == "chat.retries"]
    ours = {key: value["value"] for key, value in retry["attributes"].items()}
    assert (ours["kind"], ours["provider"], ours["code"]) == ("retry", "fake", "server_error")


def turns_told(ingest: Ingest, count: int) -> list[Json]:
    """The transactions of turns, once there are so many."""
    found = [item for item in ingest.items("transaction") if "chat.outcome" in item["tags"]]
    return found if len(found) >= count else []


def test_the_event_of_a_turn_that_failed_for_good_tells_of_every_attempt(
    start_server: StartServer, ingest: Ingest
) -> None:
    client = start_server(**QUICK, SENTRY_DSN=ingest.dsn).client()
    client.say(client.conversation()["id"], "hello", model="status-500")
    [event] = ingest.wait("event")
    assert [event["contexts"]["attempts"][n]["code"] for n in "123"] == ["server_error"] * 3
    crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"]]
    assert crumbs.count("attempt failed, retry follows") == 2


# More than one stand-in. Each is the fake provider under another name, whose model says what it does.


def several(provider: Provider, fallbacks: str, **models: str) -> dict[str, str]:
    """`fake` and other names for the same provider, each with the model given."""
    urls = {f"{name.upper()}_BASE_URL": provider.url for name in models}
    named = {f"{name.upper()}_MODEL": model for name, model in models.items()}
    return {
        "CHAT_PROVIDERS": ",".join(("fake", *models)),
        "CHAT_FALLBACKS": f"fake={fallbacks}",
        "FAKE_MODEL": "status-500",
        **urls,
        **named,
    }


@pytest.mark.parametrize("refusal", ["status-400", "status-400-context", "status-404-model"])
def test_what_a_stand_in_refuses_the_next_may_take(start_server: StartServer, provider: Provider, refusal: str) -> None:
    client = start_server(**several(provider, "picky,ready", picky=refusal, ready="echo")).client()
    answer = client.say(client.conversation()["id"], "hello").json()
    assert (answer["status"], answer["provider"]) == ("completed", "ready")


def test_when_no_stand_in_helps_the_failure_of_the_one_asked_for_is_told(
    start_server: StartServer, provider: Provider
) -> None:
    client = start_server(**several(provider, "picky", picky="status-400")).client()
    problem = assert_problem(client.say(client.conversation()["id"], "hello"), 502, "server_error")
    assert problem["provider"] == "fake"
    assert [attempt["code"] for attempt in problem["attempts"]] == ["server_error", "provider_bad_request"]


def test_a_stand_in_that_has_begun_to_answer_is_the_one_that_failed(
    start_server: StartServer, provider: Provider
) -> None:
    client = start_server(**several(provider, "half", half="drop-mid-stream")).client()
    conversation = client.conversation()["id"]
    problem = assert_problem(client.say(conversation, "hello"), 503, "unreachable")
    assert problem["provider"] == "half"
    answer = client.messages(conversation)[-1]
    assert (answer["provider"], answer["content"]) == ("half", PARTIAL)


def test_each_stand_in_gets_what_it_can_take_of_the_whole_conversation(
    start_server: StartServer, provider: Provider
) -> None:
    environment = several(provider, "small,large", small="status-503", large="echo")
    client = start_server(**environment, SMALL_HISTORY_TOKENS="60", SMALL_IMAGES="false").client()
    conversation = client.conversation()["id"]
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    for content in ("word " * 20, [{"type": "text", "text": "Who is this?"}, image]):
        client.say(conversation, content, provider="large")
    provider.clear()
    tool = {"type": "function", "function": {"name": "look_up", "description": "Looks it up."}}
    answer = client.say(conversation, "and now?", provider="fake", tools=[tool]).json()
    assert answer["provider"] == "large"
    asked, small, large = (chat.messages for chat in provider.chats)
    assert asked == large
    assert len(small) < len(large)
    assert "image_url" in str(large)
    assert "image_url" not in str(small)


def test_the_event_is_linked_to_the_span_of_the_failure_it_tells_of(
    start_server: StartServer, provider: Provider, ingest: Ingest
) -> None:
    environment = several(provider, "shut", shut="status-503")
    client = start_server(**environment, SENTRY_DSN=ingest.dsn, CHAT_CIRCUIT_FAILURES="1").client()
    client.say(client.conversation()["id"], "hello", provider="shut")  # opens its circuit
    client.say(client.conversation()["id"], "hello", provider="fake")
    _, event = ingest.wait("event", 2)
    _, sent = poll(lambda: turns_told(ingest, 2), 10, "two transactions")
    [span] = [span for span in sent["spans"] if span["op"] == "gen_ai.chat"]
    assert event["contexts"]["trace"]["span_id"] == span["span_id"]
    assert event["fingerprint"] == ["provider-error", "fake", "server_error"]
    assert event["contexts"]["attempts"]["2"]["outcome"] == "skipped"


# Time


def test_silence_before_the_first_token_is_a_timeout(start_server: StartServer) -> None:
    client = start_server(CHAT_FIRST_TOKEN_TIMEOUT="0.3").client()
    conversation = client.conversation()["id"]
    for model in ("hang", "comments-only"):
        assert_problem(client.say(conversation, "hello", model=model), 504, "timeout")
        assert client.messages(conversation)[-1]["status"] == "failed"


def test_silence_between_tokens_is_a_timeout_that_keeps_the_text(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(CHAT_SILENCE_TIMEOUT="0.3", SENTRY_DSN=ingest.dsn).client()
    conversation = client.conversation()["id"]
    assert_problem(client.say(conversation, "hello", model="hang-mid-stream"), 504, "timeout")
    answer = client.messages(conversation)[-1]
    assert (answer["status"], answer["content"], answer["error_code"]) == ("failed", PARTIAL, "timeout")
    [event] = ingest.wait("event")
    assert event["contexts"]["provider_error"]["cause"] == "silence"


def test_a_whole_turn_has_its_time_retries_included(start_server: StartServer, provider: Provider) -> None:
    client = start_server(**QUICK, CHAT_TURN_TIMEOUT="1", CHAT_FIRST_TOKEN_TIMEOUT="0.4").client()
    assert_problem(client.say(client.conversation()["id"], "hello", model="hang"), 504, "timeout")
    assert len(provider.chats) == 3, "the third within what the first two have left"
    provider.clear()
    answer = client.say(client.conversation()["id"], "hello", model="slow")
    assert_problem(answer, 504, "timeout")


def test_a_provider_may_have_a_time_of_its_own(start_server: StartServer) -> None:
    client = start_server(CHAT_SILENCE_TIMEOUT="20", FAKE_SILENCE_TIMEOUT="0.3").client()
    assert_problem(client.say(client.conversation()["id"], "hello", model="hang-mid-stream"), 504, "timeout")


# What an answer is made of


@pytest.mark.parametrize("stream", [False, True])
def test_missing_usage_is_estimated_and_said_to_be(client: Client, stream: bool) -> None:
    answer = turn(client, "hello there", stream, model="usage-missing")
    usage = answer["usage"]
    assert usage["estimated"] is True
    assert 0 < usage["prompt_tokens"] < 40
    assert 0 < usage["completion_tokens"] < 20
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_an_empty_answer_is_no_success(client: Client) -> None:
    assert_problem(client.say(client.conversation()["id"], "hello", model="empty"), 502, "empty_answer")


def test_a_filtered_answer_is_no_success_and_keeps_its_text(client: Client) -> None:
    conversation = client.conversation()["id"]
    assert_problem(client.say(conversation, "hello", model="filtered"), 422, "content_filter")
    answer = client.messages(conversation)[-1]
    assert (answer["status"], answer["finish_reason"], answer["content"]) == ("failed", "content_filter", PARTIAL)
