"""A turn through a real server, blocking and streamed: what the caller gets, the provider is asked, and is stored."""

import re

import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import ECHO, PARTIAL
from tests.fakes.client import Client
from tests.fakes.provider import Provider

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_blocking_turn_answers_with_the_whole_message(client: Client) -> None:
    conversation = client.conversation()
    response = client.say(conversation["id"], "hello there")
    assert response.status_code == 200
    message = response.json()
    assert UUID7.fullmatch(message["id"])
    assert message["conversation_id"] == conversation["id"]
    assert (message["role"], message["status"], message["content"]) == ("assistant", "completed", f"{ECHO}hello there")
    assert (message["finish_reason"], message["error_code"], message["sentry_event_id"]) == ("stop", None, None)
    assert (message["provider"], message["model"]) == ("fake", "echo-2026")
    usage = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11, "estimated": False}
    assert message["usage"] == usage
    assert message["cost_usd"] is None, "a provider without a price list"
    assert 0 <= message["ttft_ms"] <= message["latency_ms"] < 10_000
    assert message["request_id"] == response.headers["X-Request-ID"]
    assert message["trace_id"] == response.headers["X-Trace-ID"]


def test_both_messages_are_stored(client: Client) -> None:
    conversation = client.conversation()
    answer = client.say(conversation["id"], "hello").json()
    asked, stored = client.messages(conversation["id"])
    assert stored == answer
    assert (asked["role"], asked["content"], asked["status"]) == ("user", "hello", "completed")
    assert asked["request_id"] == stored["request_id"]
    assert asked["usage"] is asked["latency_ms"] is asked["model"] is None
    assert asked["id"] < stored["id"]


def test_a_streamed_turn_is_created_then_deltas_then_completed(client: Client) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "hello there") as stream:
        headers = stream.response.headers
        events = list(stream)
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"
    created, *deltas, completed = events
    assert [event.id for event in events] == list(range(len(events)))
    assert (created.name, completed.name) == ("message.created", "message.completed")
    assert {event.name for event in deltas} == {"message.delta"}
    assert (created.data["status"], created.data["content"]) == ("streaming", "")
    assert created.data["id"] == completed.data["id"]
    assert "".join(event.data["delta"] for event in deltas) == completed.data["content"] == f"{ECHO}hello there"
    assert completed.data == client.messages(conversation["id"])[-1]
    assert completed.data["request_id"] == headers["X-Request-ID"]
    assert completed.data["trace_id"] == headers["X-Trace-ID"]


def test_both_ways_of_asking_store_the_same(client: Client) -> None:
    blocking, streamed = client.conversation()["id"], client.conversation()["id"]
    client.say(blocking, "hello")
    client.events(streamed, "hello")
    own = {"id", "conversation_id", "request_id", "trace_id", "created_at", "ttft_ms", "latency_ms"}
    for one, other in zip(client.messages(blocking), client.messages(streamed), strict=True):
        assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}


def test_a_delta_is_here_before_the_next_is_made(client: Client, provider: Provider) -> None:
    with client.stream(client.conversation()["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        assert stream.text("three ") == PARTIAL
        provider.release()
        assert stream.text("four") == "four"
        assert stream.next("message.completed").data["content"] == f"{PARTIAL}four"


def test_the_question_is_stored_before_the_provider_answers(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "hello", model="hang") as stream:
        provider.wait()
        asked, answer = client.messages(conversation["id"])
        assert (asked["content"], asked["status"]) == ("hello", "completed")
        assert (answer["content"], answer["status"]) == ("", "streaming")
        provider.release()
        assert list(stream)[-1].name == "message.completed"


def test_no_token_of_many_is_lost(client: Client) -> None:
    *_, completed = client.events(client.conversation()["id"], "go", model="tokens-500")
    assert completed.data["content"] == "tok " * 500
    assert completed.data["usage"]["completion_tokens"] == 500


@pytest.mark.parametrize(
    ("model", "content"),
    [
        ("utf8-split", "Grüße 🌍"),
        ("nul", "abc?d"),
        ("big-token", "x" * 1_000_000),
        ("no-done", PARTIAL),
    ],
)
def test_it_stores_what_it_streamed(client: Client, model: str, content: str) -> None:
    conversation = client.conversation()
    _, *deltas, completed = client.events(conversation["id"], "go", model=model)
    assert completed.name == "message.completed"
    assert "".join(event.data["delta"] for event in deltas) == content
    assert client.messages(conversation["id"])[-1]["content"] == content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["odd-model", "odd-finish", "odd-usage"])
def test_an_odd_answer_still_gets_its_end(client: Client, model: str, stream: bool) -> None:
    conversation = client.conversation()
    if stream:
        *_, last = client.events(conversation["id"], "go", model=model)
        assert last.name in {"message.completed", "message.failed"}
        assert last.data.get("code", "malformed_answer") == "malformed_answer"
    else:
        assert client.say(conversation["id"], "go", model=model).status_code in {200, 502}
    answer = client.messages(conversation["id"])[-1]
    assert answer["status"] in {"completed", "failed"}
    assert answer["content"].startswith(PARTIAL)


def test_the_next_turn_sends_the_history_along(client: Client, provider: Provider) -> None:
    conversation = client.conversation(system_prompt="Be brief.")
    client.say(conversation["id"], "first")
    client.events(conversation["id"], "second")
    client.say(conversation["id"], "third")
    assert provider.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": f"{ECHO}first"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": f"{ECHO}second"},
        {"role": "user", "content": "third"},
    ]


def test_a_conversation_without_a_system_prompt_gets_the_servers(client: Client, provider: Provider) -> None:
    client.say(client.conversation()["id"], "hello")
    assert provider.last.messages[0] == {"role": "system", "content": "You are a helpful assistant."}


def test_the_history_is_bounded_by_the_providers_budget(start_server: StartServer, provider: Provider) -> None:
    client = start_server(FAKE_HISTORY_TOKENS="82", CHAT_SYSTEM_PROMPT="Be brief.").client()
    conversation = client.conversation()
    for number in range(10):
        client.say(conversation["id"], f"question {number}")
    system, *history, last = provider.last.messages
    assert system == {"role": "system", "content": "Be brief."}
    assert last == {"role": "user", "content": "question 9"}
    # 82 tokens less 9 and 10 for these; the rest holds 14 for an answer, 10 for a question, and so on. The answer to
    # question 6 would fit too, but a history does not begin with an answer.
    assert [message["content"] for message in history] == [
        "question 7",
        f"{ECHO}question 7",
        "question 8",
        f"{ECHO}question 8",
    ]
    client.say(conversation["id"], "long " * 100)
    assert [message["role"] for message in provider.last.messages] == ["system", "user"], "nothing else fits"


def test_the_parameters_of_a_turn_reach_the_provider(client: Client, provider: Provider) -> None:
    client.say(client.conversation()["id"], "hello", model="tokens-1", temperature=0.25, max_tokens=17)
    assert provider.last.body["model"] == "tokens-1"
    assert (provider.last.body["temperature"], provider.last.body["max_tokens"]) == (0.25, 17)


def test_no_trace_header_reaches_the_provider(client: Client, provider: Provider) -> None:
    trace = {
        "sentry-trace": "0123456789abcdef0123456789abcdef-0123456789abcdef-1",
        "baggage": "sentry-trace_id=0123456789abcdef0123456789abcdef,sentry-sampled=true",
        "traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
    }
    response = client.post("/api/chat", json={"message": "hello"}, headers=trace)
    assert response.status_code == 200
    names = set(provider.last.headers)
    assert not names & {"sentry-trace", "baggage", "traceparent", "tracestate", "x-request-id", "cookie"}
    assert "0123456789abcdef" not in str(provider.last.headers)


def test_the_callers_key_does_not_reach_the_provider(client: Client, provider: Provider) -> None:
    client.say(client.conversation()["id"], "hello")
    assert provider.last.headers["authorization"] == "Bearer fake-secret"
    assert "ck_" not in str(provider.last.headers)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("What is the capital of France?", "What is the capital of France?"),
        ("  First   line \nsecond line", "First line"),
        ("\n\n after empty lines", "after empty lines"),
        ("word " * 40, ("word " * 16)[:-1] + "…"),
        ("x" * 500, "x" * 80 + "…"),
    ],
)
def test_the_first_turn_titles_an_untitled_conversation(client: Client, content: str, title: str) -> None:
    conversation = client.conversation()
    assert conversation["title"] == ""
    client.say(conversation["id"], content)
    client.say(conversation["id"], "another message")
    assert client.read(conversation["id"])["title"] == title


def test_a_title_that_is_there_stays(client: Client) -> None:
    conversation = client.conversation(title="Mine")
    client.say(conversation["id"], "hello")
    assert client.read(conversation["id"])["title"] == "Mine"


def test_a_conversation_counts_its_messages_tokens_and_failures(client: Client) -> None:
    conversation = client.conversation()
    assert (conversation["message_count"], conversation["token_count"], conversation["failure_count"]) == (0, 0, 0)
    tokens = client.say(conversation["id"], "hello").json()["usage"]["total_tokens"]
    client.say(conversation["id"], "hello", model="status-500")
    after = client.read(conversation["id"])
    assert (after["message_count"], after["token_count"], after["failure_count"]) == (4, tokens, 1)
    assert after["last_activity_at"] > conversation["last_activity_at"]


def test_a_conversation_deleted_during_its_turn_takes_the_turn_along(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        assert client.delete(f"/api/conversations/{conversation['id']}").status_code == 204
        provider.release()
        assert list(stream)[-1].name == "message.completed"
    assert client.get(f"/api/conversations/{conversation['id']}").status_code == 404


def test_many_turns_run_at_once(client: Client, provider: Provider) -> None:
    """More than the database pool has threads: a stream holds none."""
    streams = [client.stream(client.conversation()["id"], str(n), model="hang-mid-stream") for n in range(20)]
    opened = [stream.__enter__() for stream in streams]
    try:
        for stream in opened:
            stream.next("message.created")
            assert stream.text("three ") == PARTIAL
        provider.release()
        for stream in opened:
            assert list(stream)[-1].data["content"] == f"{PARTIAL}four"
    finally:
        for manager in streams:
            manager.__exit__(None, None, None)
