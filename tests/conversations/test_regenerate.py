"""The last answer again: another in its place, to the same question."""

from typing import Any

import httpx2
import pytest

from tests.conversations.test_tools import IDS, WEATHER, post, results
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server

PNG = "data:image/png;base64,iVBORw0KGgo="
PICTURE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": PNG}},
]


def regenerate(client: Client, answer: Json, **body: Any) -> httpx2.Response:
    path = f"/api/conversations/{answer['conversation_id']}/messages/{answer['id']}/regenerate"
    return client.post(path, json=body)


def again(client: Client, answer: Json, **body: Any) -> Json:
    response = regenerate(client, answer, **body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def everything(client: Client, conversation_id: str) -> list[Json]:
    path = f"/api/conversations/{conversation_id}/messages"
    return list(client.get(path, params={"include_superseded": True}).json()["items"])


@pytest.fixture
def conversation(client: Client) -> Json:
    return client.conversation(system_prompt="Be brief.")


def test_another_answer_comes_in_its_place(client: Client, provider: Provider, conversation: Json) -> None:
    client.say(conversation["id"], "one")
    old = client.say(conversation["id"], "two").json()
    asked = provider.last.messages
    before = client.messages(conversation["id"])
    new = again(client, old, model="tokens-2", temperature=0.5)
    assert (new["content"], new["status"], new["model"]) == ("tok tok ", "completed", "tokens-2-2026")
    assert (new["superseded_by"], new["copied_from"]) == (None, None)
    assert provider.last.messages == asked
    assert (provider.last.body["model"], provider.last.body["temperature"]) == ("tokens-2", 0.5)
    assert client.messages(conversation["id"]) == [*before[:-1], new]
    superseded = {**old, "superseded_by": new["id"]}
    assert everything(client, conversation["id"]) == [*before[:-1], superseded, new]


def test_the_old_answer_is_no_part_of_the_history(client: Client, provider: Provider, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    again(client, again(client, old, model="tokens-1"), model="tokens-2")
    client.say(conversation["id"], "two")
    assert [message["content"] for message in provider.last.messages] == ["Be brief.", "one", "tok tok ", "two"]


def test_both_are_spent_but_one_is_counted_as_a_message(client: Client, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    new = again(client, old)
    after = client.read(conversation["id"])
    assert after["message_count"] == len(client.messages(conversation["id"])) == 2
    assert after["token_count"] == old["usage"]["total_tokens"] + new["usage"]["total_tokens"]
    assert after["title"] == "one"


def test_it_can_be_streamed(client: Client, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    path = f"/api/conversations/{conversation['id']}/messages/{old['id']}/regenerate"
    with client.http.stream("POST", path, json={"stream": True, "model": "tokens-3"}) as response:
        text = response.read().decode()
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names[0] == "message.created"
    assert names[-1] == "message.completed"
    assert client.messages(conversation["id"])[-1]["content"] == "tok tok tok "


def test_no_body_is_needed(client: Client, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    response = client.post(f"/api/conversations/{conversation['id']}/messages/{old['id']}/regenerate")
    assert (response.status_code, response.json()["content"]) == (200, "You said: one")


def test_a_failed_answer_can_be_made_again(client: Client, provider: Provider, conversation: Json) -> None:
    client.say(conversation["id"], "one", model="status-500")
    failed = client.messages(conversation["id"])[-1]
    assert again(client, failed)["content"] == "You said: one"
    assert [message["status"] for message in client.messages(conversation["id"])] == ["completed", "completed"]


def test_when_the_new_one_fails_it_is_the_last_answer(client: Client, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    problem = assert_problem(regenerate(client, old, model="status-500"), 502, "server_error")
    assert client.messages(conversation["id"])[-1]["id"] == problem["message_id"]
    assert_problem(regenerate(client, old), 409, "not_last_answer")


def test_tool_results_and_what_was_said_to_them_go_along_again(
    client: Client, provider: Provider, conversation: Json
) -> None:
    post(client, conversation, content="Weather?", model="tool-calls", tools=[WEATHER])
    answer = post(client, conversation, content="And?", tool_results=results(*IDS))
    asked = provider.last.messages
    new = again(client, answer)
    assert provider.last.messages == asked
    assert new["content"] == "You said: And?"
    assert client.say(conversation["id"], "more").status_code == 200
    assert [message["role"] for message in provider.last.messages[:-2]] == [message["role"] for message in asked]


def test_results_that_were_sent_twice_go_along_as_in_the_turn_itself(
    client: Client, provider: Provider, conversation: Json
) -> None:
    path = f"/api/conversations/{conversation['id']}/messages"
    post(client, conversation, content="Weather?", model="tool-calls", tools=[WEATHER])
    client.post(path, json={"tool_results": results(*IDS), "model": "drop-mid-stream"})
    answer = post(client, conversation, tool_results=results(*IDS), model="tokens-1")
    asked = provider.last.messages
    again(client, answer, model="tokens-2")
    assert provider.last.messages == asked


def test_calls_of_a_superseded_answer_are_not_open(client: Client, provider: Provider, conversation: Json) -> None:
    called = post(client, conversation, content="Weather?", model="tool-calls", tools=[WEATHER])
    again(client, called)
    path = f"/api/conversations/{conversation['id']}/messages"
    problem = assert_problem(client.post(path, json={"tool_results": results(*IDS)}), 409, "tool_results_mismatch")
    assert problem["open_tool_calls"] == []


def test_only_the_last_answer_can_be_made_again(client: Client, stranger: Client, conversation: Json) -> None:
    first = client.say(conversation["id"], "one").json()
    last = client.say(conversation["id"], "two").json()
    before = everything(client, conversation["id"])
    assert_problem(regenerate(client, first), 409, "not_last_answer")
    asked = {**last, "id": before[2]["id"]}
    assert_problem(regenerate(client, asked), 422, "invalid_request", "message_id")
    assert_problem(regenerate(client, {**last, "id": conversation["id"]}), 404, "message_not_found")
    elsewhere = {**last, "conversation_id": client.conversation()["id"]}
    assert_problem(regenerate(client, elsewhere), 404, "message_not_found")
    assert_problem(regenerate(stranger, last), 404, "conversation_not_found")
    assert_problem(regenerate(client, last, content="new"), 422, "invalid_request", "content")
    assert_problem(regenerate(client, last, tool_results=[]), 422, "invalid_request", "tool_results")
    assert_problem(regenerate(client, last, provider="nobody"), 400, "unknown_provider")
    assert everything(client, conversation["id"]) == before


def test_not_while_a_turn_runs(client: Client, provider: Provider, conversation: Json) -> None:
    old = client.say(conversation["id"], "one").json()
    with client.stream(conversation["id"], "two", model="hang") as stream:
        running = stream.next("message.created").data
        assert_problem(regenerate(client, running), 409, "turn_in_progress")
        assert_problem(regenerate(client, old), 409, "turn_in_progress")


def test_images_go_along_again_but_only_to_who_takes_them(
    client: Client, provider: Provider, conversation: Json
) -> None:
    answer = post(client, conversation, content=PICTURE)
    asked = provider.last.messages
    assert_problem(regenerate(client, answer, provider="local"), 422, "invalid_request", "provider")
    again(client, answer)
    assert provider.last.messages == asked
    assert asked[-1]["content"] == PICTURE


def test_an_answer_without_a_question_cannot_be_made_again(client: Client, server: Server, conversation: Json) -> None:
    answer = client.say(conversation["id"], "one").json()
    server.db.query("DELETE FROM conversations_message WHERE role = 'user' AND request_id = ?", answer["request_id"])
    assert_problem(regenerate(client, answer), 422, "invalid_request", "message_id")
