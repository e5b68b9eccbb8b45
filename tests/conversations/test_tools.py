"""Tools and structured output: what goes to the provider, what comes back, and the results in the next turn."""

from typing import Any

import pytest

from tests.conftest import StartServer
from tests.fakes.answers import CALLS, THOUGHT
from tests.fakes.behaviours import ECHO
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city, now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": True,
    },
}
IDS = [call["id"] for call in CALLS]


def post(client: Client, conversation: Json, **body: Any) -> Json:
    response = client.post(f"/api/conversations/{conversation['id']}/messages", json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def results(*ids: str) -> list[Json]:
    return [{"tool_call_id": id, "content": f"result of {id}"} for id in ids]


@pytest.fixture
def conversation(client: Client) -> Json:
    return client.conversation()


@pytest.fixture
def called(client: Client, conversation: Json, provider: Provider) -> Json:
    """A conversation whose last message has the CALLS, and nothing else."""
    answer = post(client, conversation, content="Weather?", model="tool-calls", tools=[WEATHER])
    assert answer["tool_calls"] == CALLS
    return conversation


# --- to the provider


@pytest.mark.parametrize("path", ["/api/conversations/{id}/messages", "/api/chat", "/api/chat/fake"])
def test_they_reach_the_provider_as_they_came(client: Client, provider: Provider, path: str) -> None:
    asked: Json = {
        "tools": [WEATHER, {"type": "function", "function": {"name": "now"}}],
        "tool_choice": {"type": "function", "function": {"name": "now"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True, "description": "All."},
        },
    }
    conversation = client.conversation()
    body = {"content" if "{id}" in path else "message": "hello", **asked}
    assert client.post(path.replace("{id}", conversation["id"]), json=body).status_code == 200
    assert {name: provider.last.body[name] for name in asked} == asked


@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_a_choice_in_a_word_reaches_the_provider(
    client: Client, provider: Provider, conversation: Json, choice: str
) -> None:
    post(client, conversation, content="x", tools=[WEATHER], tool_choice=choice)
    assert provider.last.body["tool_choice"] == choice


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_a_format_in_a_word_reaches_the_provider(
    client: Client, provider: Provider, conversation: Json, kind: str
) -> None:
    post(client, conversation, content="x", response_format={"type": kind})
    assert provider.last.body["response_format"] == {"type": kind}


def test_without_them_the_provider_hears_nothing_of_them(
    client: Client, provider: Provider, conversation: Json
) -> None:
    post(client, conversation, content="x", reasoning=True)
    passed_on = {"tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning", "tool_results"}
    assert not passed_on & set(provider.last.body)


def test_tools_are_of_one_turn(client: Client, provider: Provider, conversation: Json) -> None:
    post(client, conversation, content="x", tools=[WEATHER])
    post(client, conversation, content="y")
    assert "tools" not in provider.last.body


def test_128_tools_are_accepted(client: Client, provider: Provider, conversation: Json) -> None:
    tools = [{"type": "function", "function": {"name": f"f-{number}_X"}} for number in range(128)]
    post(client, conversation, content="x", tools=tools)
    assert provider.last.body["tools"] == tools


# --- from the provider


def test_calls_are_answered_and_stored(client: Client, called: Json) -> None:
    asked, answer = client.messages(called["id"])
    assert (answer["content"], answer["status"], answer["finish_reason"]) == ("", "completed", "tool_calls")
    assert answer["tool_calls"] == CALLS
    assert asked["tool_calls"] is asked["tool_call_id"] is answer["tool_call_id"] is None


def test_a_stream_ends_with_the_calls(client: Client, conversation: Json) -> None:
    *_, completed = client.events(conversation["id"], "Weather?", model="tool-calls", tools=[WEATHER])
    assert completed.name == "message.completed"
    assert completed.data["tool_calls"] == CALLS
    assert completed.data == client.messages(conversation["id"])[-1]


def test_reasoning_is_stored_when_it_is_asked_for(client: Client, conversation: Json) -> None:
    answer = post(client, conversation, content="x", model="reasoning", reasoning=True)
    assert answer["reasoning"] == THOUGHT
    assert THOUGHT not in answer["content"]
    assert client.messages(conversation["id"])[-1] == answer
    assert post(client, conversation, content="x", model="reasoning")["reasoning"] is None


def test_reasoning_is_not_sent_back(client: Client, provider: Provider, conversation: Json) -> None:
    post(client, conversation, content="x", model="reasoning", reasoning=True)
    post(client, conversation, content="y")
    assert THOUGHT not in provider.last.raw.decode()


# --- results


def test_results_follow_their_calls_to_the_provider(client: Client, provider: Provider, called: Json) -> None:
    answer = post(client, called, tool_results=results(*reversed(IDS)), tools=[WEATHER])
    assert provider.last.messages[1:] == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        *({"role": "tool", "content": f"result of {id}", "tool_call_id": id} for id in IDS),
    ]
    assert answer["content"] == f"{ECHO}result of {IDS[-1]}"


def test_results_are_messages(client: Client, called: Json) -> None:
    post(client, called, tool_results=results(*IDS))
    stored = client.messages(called["id"])
    assert [message["role"] for message in stored] == ["user", "assistant", *["tool" for _ in IDS], "assistant"]
    for message, id in zip(stored[2:], IDS, strict=False):
        assert (message["content"], message["tool_call_id"]) == (f"result of {id}", id)
        assert (message["status"], message["request_id"]) == ("completed", stored[-1]["request_id"])
    assert client.read(called["id"])["message_count"] == len(stored)
    assert client.read(called["id"])["title"] == "Weather?"


def test_a_message_may_come_along(client: Client, provider: Provider, called: Json) -> None:
    post(client, called, tool_results=results(*IDS), content="In one word.")
    *_, last, said = provider.last.messages
    assert (last["role"], said) == ("tool", {"role": "user", "content": "In one word."})
    assert [message["role"] for message in client.messages(called["id"])][-3:] == ["tool", "user", "assistant"]


def test_a_result_may_be_empty(client: Client, provider: Provider, called: Json) -> None:
    post(client, called, tool_results=[{"tool_call_id": id, "content": ""} for id in IDS])
    assert provider.last.messages[-1]["content"] == ""


def test_a_chat_takes_results_too(client: Client, provider: Provider, called: Json) -> None:
    body = {"conversation_id": called["id"], "tool_results": results(*IDS)}
    assert client.post("/api/chat", json=body).status_code == 200
    assert provider.last.messages[-1]["role"] == "tool"


def test_calls_may_follow_calls(client: Client, provider: Provider, called: Json) -> None:
    again = post(client, called, tool_results=results(*IDS), tools=[WEATHER], model="tool-calls")
    assert again["tool_calls"] == CALLS
    post(client, called, tool_results=results(*IDS))
    roles = [message["role"] for message in provider.last.messages[1:]]
    assert roles == ["user", *["assistant", *["tool" for _ in IDS]] * 2]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ids", [IDS[:1], [*IDS, "call_other"], ["call_other"]], ids=["missing", "too many", "unknown"])
def test_results_of_other_calls_are_refused(
    client: Client, server: Server, provider: Provider, called: Json, ids: list[str], stream: bool
) -> None:
    before = client.read(called["id"]), client.messages(called["id"]), len(provider.chats)
    body = {"tool_results": results(*ids), "content": "x", "stream": stream}
    response = client.post(f"/api/conversations/{called['id']}/messages", json=body)
    problem = assert_problem(response, 409, "tool_results_mismatch")
    assert problem["open_tool_calls"] == IDS
    assert (client.read(called["id"]), client.messages(called["id"]), len(provider.chats)) == before


def test_an_answer_that_broke_off_waits_for_no_results(client: Client, server: Server, called: Json) -> None:
    """Its calls may lack their ends."""
    answer = client.messages(called["id"])[-1]
    server.db.query("UPDATE conversations_message SET status = 'cancelled' WHERE request_id = ?", answer["request_id"])
    response = client.post(f"/api/conversations/{called['id']}/messages", json={"tool_results": results(*IDS)})
    assert assert_problem(response, 409, "tool_results_mismatch")["open_tool_calls"] == []


def test_results_come_once(client: Client, called: Json) -> None:
    post(client, called, tool_results=results(*IDS))
    response = client.post(f"/api/conversations/{called['id']}/messages", json={"tool_results": results(*IDS)})
    assert assert_problem(response, 409, "tool_results_mismatch")["open_tool_calls"] == []


def test_a_message_instead_of_results_drops_the_calls(client: Client, provider: Provider, called: Json) -> None:
    post(client, called, content="Never mind.")
    assert provider.last.messages[1:] == [{"role": "user", "content": "Weather?\n\nNever mind."}]
    response = client.post(f"/api/conversations/{called['id']}/messages", json={"tool_results": results(*IDS)})
    assert assert_problem(response, 409, "tool_results_mismatch")["open_tool_calls"] == []


def test_results_whose_turn_failed_go_along_with_the_next_message(
    client: Client, provider: Provider, called: Json
) -> None:
    body = {"tool_results": results(*IDS), "model": "status-500"}
    assert_problem(client.post(f"/api/conversations/{called['id']}/messages", json=body), 502, "server_error")
    post(client, called, content="Go on.")
    roles = [message["role"] for message in provider.last.messages[1:]]
    assert roles == ["user", "assistant", *["tool" for _ in IDS], "user"]


@pytest.mark.parametrize("model", ["status-500", "drop-mid-stream"])
def test_results_whose_turn_failed_can_be_sent_again(
    client: Client, provider: Provider, called: Json, model: str
) -> None:
    path = f"/api/conversations/{called['id']}/messages"
    assert client.post(path, json={"tool_results": results(*IDS), "model": model}).status_code >= 500
    answer = client.post(path, json={"tool_results": results(*IDS)})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    asked = provider.last.messages[1:]
    assert [message["role"] for message in asked] == ["user", "assistant", *["tool" for _ in IDS]]
    wrong = client.post(path, json={"tool_results": results(*IDS)})
    assert_problem(wrong, 409, "tool_results_mismatch")


def test_somebody_elses_calls_stay_hidden(client: Client, stranger: Client, called: Json) -> None:
    body = {"tool_results": results("x")}
    response = stranger.post(f"/api/conversations/{called['id']}/messages", json=body)
    assert "open_tool_calls" not in assert_problem(response, 404, "conversation_not_found")
    response = stranger.post("/api/chat", json={**body, "conversation_id": called["id"]})
    assert "open_tool_calls" not in assert_problem(response, 404, "conversation_not_found")


def test_what_a_provider_wants_back_beside_its_call_goes_to_it_alone(
    start_server: StartServer, provider: Provider
) -> None:
    server = start_server(CHAT_PROVIDERS="fake,mistral", MISTRAL_API_KEY="k", MISTRAL_BASE_URL=provider.url)
    client = server.client()
    for name in ("fake", "mistral"):
        conversation = client.conversation()["id"]
        call = client.say(conversation, "go", model="signed-call").json()["tool_calls"][0]
        body = {"tool_results": results(call["id"]), "provider": name, "model": "echo"}
        assert client.post(f"/api/conversations/{conversation}/messages", json=body).status_code == 200
        *_, sent, result = provider.last.messages
        assert ("extra_content" in sent["tool_calls"][0]) is (name == "fake")
        assert sent["tool_calls"][0]["id"] == result["tool_call_id"]
        assert (result["tool_call_id"] == "call_signed") is (name == "fake"), "Mistral takes nine characters"


def test_the_thought_before_a_call_goes_back_to_the_provider_that_wants_it_and_to_nobody_else(
    start_server: StartServer, provider: Provider
) -> None:
    server = start_server(CHAT_PROVIDERS="fake,deepseek", DEEPSEEK_API_KEY="k", DEEPSEEK_BASE_URL=provider.url)
    client = server.client()
    for name in ("deepseek", "fake"):
        conversation = client.conversation(provider="deepseek")
        called = post(client, conversation, content="go", model="thinking-call")
        assert (called["tool_calls"], called["reasoning"]) == (CALLS[:1], None)
        post(client, conversation, tool_results=results(IDS[0]), provider=name, model="echo")
        sent = provider.last.messages[-2]
        assert sent["tool_calls"] == CALLS[:1]
        assert sent.get("reasoning_content") == (THOUGHT if name == "deepseek" else None)


def test_a_call_that_was_cut_off_is_not_offered(client: Client, provider: Provider, conversation: Json) -> None:
    answer = post(client, conversation, content="Weather?", model="calls-cut-off")
    assert (answer["status"], answer["finish_reason"], answer["tool_calls"]) == ("completed", "length", CALLS[:1])
    post(client, conversation, tool_results=results(IDS[0]))
    assert provider.last.messages[-2]["tool_calls"] == CALLS[:1]
