"""Completions that are stored: `store`, and the header X-Conversation-ID."""

import uuid
from typing import Any

import httpx2
import openai
import pytest

from tests.conversations.openai.conftest import sdk_of
from tests.conversations.openai.test_completions import HELLO, PICTURE, WEATHER
from tests.conversations.openai.test_errors import assert_error, complete
from tests.fakes.answers import CALLS, PARTIAL, SIGNATURE
from tests.fakes.behaviours import ECHO
from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

IMAGE: Any = {"type": "image_url", "image_url": {"url": PICTURE}}


def go_on(client: Client, conversation: str, *messages: Any) -> httpx2.Response:
    headers = {"X-Conversation-ID": conversation}
    return client.post("/v1/chat/completions", json={"model": "echo", "messages": messages}, headers=headers)


def test_store_makes_a_conversation_of_all_messages(client: Client, sdk: openai.OpenAI, provider: Provider) -> None:
    image = {"type": "image_url", "image_url": {"url": PICTURE}}
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "What is the weather in Paris?\nAnd here?"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        *({"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in CALLS),
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
    ]
    raw = sdk.chat.completions.with_raw_response.create(
        model="echo", messages=messages, store=True, metadata={"ticket": "A-17"}
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == f"{ECHO}look "
    conversation = client.read(raw.headers["X-Conversation-ID"])
    assert (
        conversation.items()
        >= {
            "title": "What is the weather in Paris?",
            "system_prompt": "Be brief.\n\nBe kind.",
            "metadata": {"ticket": "A-17"},
            "provider": "fake",
            "model": "echo",
            "message_count": 7,
            "token_count": answer.usage.total_tokens if answer.usage else 0,
        }.items()
    )
    stored = client.messages(conversation["id"])
    assert [(m["role"], m["content"], m["status"]) for m in stored] == [
        ("user", "What is the weather in Paris?\nAnd here?", "completed"),
        ("assistant", "", "completed"),
        ("tool", "sunny", "completed"),
        ("tool", "sunny", "completed"),
        ("assistant", "It is sunny.", "completed"),
        ("user", "look", "completed"),
        ("assistant", f"{ECHO}look ", "completed"),
    ]
    assert (stored[1]["tool_calls"], stored[2]["tool_call_id"]) == (CALLS, "call_1")
    assert stored[5]["parts"] == messages[-1]["content"]
    assert stored[-1]["id"] == raw.headers["X-Message-ID"]
    assert answer.id == f"chatcmpl-{uuid.UUID(stored[-1]['id']).hex}"
    assert [m["role"] for m in provider.last.messages][:2] == ["system", "system"], "as they were sent"


def test_a_conversation_that_is_stored_goes_on_at_our_own_endpoints(client: Client, provider: Provider) -> None:
    response = complete(client, store=True, messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    client.say(response.headers["X-Conversation-ID"], "again")
    assert [(m["role"], m["content"]) for m in provider.last.messages] == [
        ("system", "Be brief."),
        ("user", "hello"),
        ("assistant", f"{ECHO}hello"),
        ("user", "again"),
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["blocking", "streamed"])
def test_the_header_goes_on_with_a_conversation(client: Client, provider: Provider, streamed: bool) -> None:
    conversation = client.conversation(system_prompt="Be brief.")["id"]
    client.say(conversation, "one")
    history = [{"role": "user", "content": "told otherwise"}, {"role": "assistant", "content": "or not"}]
    body = {
        "model": "echo",
        "messages": [{"role": "system", "content": "ignored"}, *history, {"role": "user", "content": "two"}],
        "stream": streamed,
    }
    response = client.post("/v1/chat/completions", json=body, headers={"X-Conversation-ID": conversation})
    assert response.status_code == 200, response.text
    assert [m["content"] for m in provider.last.messages] == ["Be brief.", "one", f"{ECHO}one", "two"]
    stored = client.messages(conversation)
    assert [m["content"] for m in stored] == ["one", f"{ECHO}one", "two", f"{ECHO}two"]
    assert response.headers["X-Conversation-ID"] == conversation
    assert response.headers["X-Message-ID"] == stored[-1]["id"]


def test_tool_results_go_to_the_conversation(client: Client, provider: Provider) -> None:
    conversation = client.conversation()["id"]
    with sdk_of(client, default_headers={"X-Conversation-ID": conversation}) as sdk:
        asked: list[Any] = [*HELLO]
        answer = sdk.chat.completions.create(model="tool-calls", messages=asked, tools=[WEATHER]).choices[0].message
        asked.append(answer)
        asked += [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in answer.tool_calls or []]
        sdk.chat.completions.create(model="echo", messages=asked, tools=[WEATHER])
        with pytest.raises(openai.ConflictError) as caught:
            sdk.chat.completions.create(model="echo", messages=asked, tools=[WEATHER])
    assert caught.value.code == "tool_results_mismatch"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert [m["role"] for m in client.messages(conversation)] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [m["role"] for m in provider.last.messages][1:] == ["user", "assistant", "tool", "tool"]


def test_one_result_of_each_call_goes_to_the_conversation(client: Client) -> None:
    response = complete(client, store=True, model="tool-calls", tools=[WEATHER])
    conversation = response.headers["X-Conversation-ID"]
    twice = [{"role": "tool", "tool_call_id": id_, "content": "sunny"} for id_ in ("call_1", "call_2", "call_1")]
    assert_error(go_on(client, conversation, *twice), 400, "invalid_request", "messages")
    error = assert_error(go_on(client, conversation, twice[0]), 409, "tool_results_mismatch")
    assert "tool_results" not in error["message"], "a field that is not there"
    assert [m["role"] for m in client.messages(conversation)] == ["user", "assistant"]


@pytest.mark.parametrize("content", ["", " \n", [{"type": "text", "text": ""}]])
def test_a_message_that_says_nothing_is_no_question(client: Client, provider: Provider, content: Any) -> None:
    conversation = client.conversation()["id"]
    response = go_on(client, conversation, {"role": "user", "content": content})
    assert_error(response, 400, "invalid_request", "messages")
    assert (client.messages(conversation), provider.chats) == ([], [])


def test_a_message_that_says_nothing_is_left_out_beside_what_is_new(client: Client) -> None:
    response = complete(client, store=True, model="tool-calls", tools=[WEATHER])
    conversation = response.headers["X-Conversation-ID"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in CALLS]
    assert go_on(client, conversation, *results, {"role": "user", "content": ""}).status_code == 200
    blank = [{"type": "text", "text": " "}, IMAGE]
    assert go_on(client, conversation, {"role": "user", "content": blank}).status_code == 200
    stored = client.messages(conversation)[2:]
    assert [m["role"] for m in stored] == ["tool", "tool", "assistant", "user", "assistant"]
    assert (stored[3]["content"], stored[3]["parts"]) == ("", [IMAGE])


TOO_MUCH: list[list[Any]] = [
    ["x" * 60_000] * 2,
    [[{"type": "text", "text": "x"}, IMAGE], "x" * 100_000],
    [[IMAGE] * 6] * 2,
    [[{"type": "text", "text": "x"}] * 99 + [IMAGE], "x"],
]


@pytest.mark.parametrize("contents", TOO_MUCH, ids=["text", "text of parts", "images", "parts"])
def test_what_becomes_one_message_is_held_to_the_limits_of_one(client: Client, contents: list[Any]) -> None:
    conversation = client.conversation()["id"]
    response = go_on(client, conversation, *({"role": "user", "content": content} for content in contents))
    assert_error(response, 400, "invalid_request", "messages")
    assert client.messages(conversation) == []


def test_what_is_stored_can_be_exported_and_imported(client: Client) -> None:
    said = [{"type": "text", "text": ""}, IMAGE, {"type": "text", "text": "look"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]
    conversation = complete(client, store=True, messages=messages).headers["X-Conversation-ID"]
    assert client.messages(conversation)[0]["parts"] == said[1:]
    exported = client.get(f"/api/conversations/{conversation}/export").content
    headers = {"Content-Type": "application/json"}
    imported = client.post("/api/conversations/import", content=exported, headers=headers)
    assert imported.status_code == 201, imported.text


def test_a_system_prompt_is_as_long_as_one_may_be(client: Client, provider: Provider) -> None:
    messages = [{"role": "system", "content": "x" * 60_000}, {"role": "developer", "content": "y" * 60_000}, *HELLO]
    assert_error(complete(client, store=True, messages=messages), 400, "invalid_request", "messages")
    assert provider.chats == []
    assert complete(client, messages=messages).status_code == 200, "it is stored nowhere"


def test_an_answer_after_a_word_of_the_systems_can_be_made_again(client: Client, provider: Provider) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO, {"role": "system", "content": "In French."}]
    response = complete(client, store=True, messages=messages)
    conversation, message = (response.headers[f"X-{name}-ID"] for name in ("Conversation", "Message"))
    path = f"/api/conversations/{conversation}/messages"
    again = client.post(f"{path}/{message}/regenerate", json={"model": "tokens-2"})
    assert again.status_code == 200, again.text
    assert provider.last.messages == messages
    assert [m["content"] for m in client.messages(conversation)] == ["hello", "In French.", "tok tok "]


def test_an_answer_to_the_system_alone_answers_no_message(client: Client) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "hi"}, {"role": "system", "content": "Go on."}]
    response = complete(client, store=True, messages=messages)
    conversation, message = (response.headers[f"X-{name}-ID"] for name in ("Conversation", "Message"))
    path = f"/api/conversations/{conversation}/messages/{message}/regenerate"
    assert_problem(client.post(path), 422, "invalid_request", "message_id")


def test_what_a_provider_wants_back_beside_its_calls_is_kept(client: Client, provider: Provider) -> None:
    call = CALLS[0] | SIGNATURE
    result = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    conversation = complete(client, store=True, messages=messages).headers["X-Conversation-ID"]
    assert client.say(conversation, "thanks").status_code == 200
    assert [m["tool_calls"] for m in provider.last.messages if "tool_calls" in m] == [[call]]


def test_a_conversation_of_somebody_else_is_none(client: Client, stranger: Client) -> None:
    theirs = stranger.conversation()["id"]
    for name in (theirs, str(uuid.uuid4())):
        headers = {"X-Conversation-ID": name}
        body = {"model": "echo", "messages": HELLO}
        response = client.post("/v1/chat/completions", json=body, headers=headers)
        assert_error(response, 404, "conversation_not_found")
    assert stranger.messages(theirs) == []


def test_the_header_has_to_be_an_id_and_the_messages_to_end_with_something_new(client: Client) -> None:
    conversation, body = client.conversation()["id"], {"model": "echo", "messages": HELLO}
    response = client.post("/v1/chat/completions", json=body, headers={"X-Conversation-ID": "mine"})
    assert_error(response, 400, "invalid_request", "X-Conversation-ID")
    body["messages"] = [*HELLO, {"role": "assistant", "content": "hi"}]
    response = client.post("/v1/chat/completions", json=body, headers={"X-Conversation-ID": conversation})
    assert_error(response, 400, "invalid_request", "messages")


def test_a_running_turn_is_a_conflict(client: Client) -> None:
    conversation = client.conversation()["id"]
    with client.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        headers = {"X-Conversation-ID": conversation}
        response = client.post("/v1/chat/completions", json={"model": "echo", "messages": HELLO}, headers=headers)
    error = assert_error(response, 409, "turn_in_progress")
    assert error["type"] == "invalid_request_error"
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled")


def test_leaving_a_stored_stream_keeps_its_text(client: Client, sdk: openai.OpenAI) -> None:
    create = sdk.chat.completions.with_streaming_response.create
    with create(model="hang-mid-stream", messages=HELLO, stream=True, store=True) as response:
        conversation = response.headers["X-Conversation-ID"]
        client.wait_saved(conversation, PARTIAL)
    poll(lambda: client.messages(conversation)[-1]["status"] == "cancelled")
    assert client.messages(conversation)[-1]["content"] == PARTIAL


def test_a_stored_turn_can_be_cancelled(client: Client, sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(model="hang-mid-stream", messages=HELLO, stream=True, store=True) as stream:
        conversation, message = (stream.response.headers[f"X-{name}-ID"] for name in ("Conversation", "Message"))
        next(iter(stream))
        client.post(f"/api/conversations/{conversation}/messages/{message}/cancel")
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.code == "cancelled"


def test_a_failure_of_a_stored_turn_says_where_it_is(client: Client) -> None:
    error = assert_error(complete(client, model="status-500", store=True), 502, "server_error")
    message = client.messages(error["conversation_id"])[-1]
    assert (message["id"], message["error_code"]) == (error["message_id"], "server_error")
    assert message["sentry_event_id"] == error["sentry_event_id"]
    assert_problem(client.say(error["conversation_id"], "again", model="status-500"), 502, "server_error")
