"""Forks: a copy of a conversation up to a message, and a user's message said differently in one."""

import time
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from uuid_utils.compat import uuid7

from chatproject.problems import Problem
from conversations import branching
from conversations.models import Conversation, Message, Role
from tests.conversations.test_regenerate import PICTURE, again
from tests.conversations.test_tools import IDS, WEATHER, post, results
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider

OF_THE_ORIGINAL = ("usage", "cost_usd", "ttft_ms", "latency_ms", "sentry_event_id")
"""What a copy does not have."""


def fork(client: Client, conversation: Json, message: Json | None = None) -> Json:
    body = {"message_id": message["id"]} if message else {}
    response = client.post(f"/api/conversations/{conversation['id']}/fork", json=body)
    assert response.status_code == 201, response.text
    return dict(response.json())


def edit(client: Client, message: Json, content: Any, **fields: Any) -> httpx2.Response:
    path = f"/api/conversations/{message['conversation_id']}/messages/{message['id']}/edit"
    return client.post(path, json={"content": content, **fields})


def contents(client: Client, conversation_id: str) -> list[str]:
    return [message["content"] for message in client.messages(conversation_id)]


@pytest.fixture
def conversation(client: Client) -> Json:
    """With two turns."""
    made = client.conversation(
        title="Mine", system_prompt="Be brief.", metadata={"a": 1}, tags=["b", "a"], parameters={"temperature": 0.1}
    )
    client.say(made["id"], "one")
    client.say(made["id"], "two")
    return client.read(made["id"])


def test_a_fork_is_a_copy_of_all(client: Client, conversation: Json) -> None:
    before = client.messages(conversation["id"])
    copy = fork(client, conversation)
    for name in ("title", "system_prompt", "metadata", "tags", "parameters", "provider", "model", "message_count"):
        assert copy[name] == conversation[name], name
    assert (copy["forked_from"], copy["forked_at"]) == (conversation["id"], before[-1]["id"])
    assert (copy["token_count"], copy["failure_count"], copy["cost_usd"]) == (0, 0, None)
    copies = client.messages(copy["id"])
    for original, message in zip(before, copies, strict=True):
        own = {"id": message["id"], "conversation_id": copy["id"], "copied_from": original["id"]}
        spent = dict.fromkeys(OF_THE_ORIGINAL) | {"request_id": "", "trace_id": ""}
        assert message == {**original, **own, **spent}
    assert [message["id"] for message in copies] == sorted(message["id"] for message in copies)
    assert client.messages(conversation["id"]) == before
    assert client.read(conversation["id"]) == conversation


def test_a_fork_ends_with_the_message_named(client: Client, provider: Provider, conversation: Json) -> None:
    messages = client.messages(conversation["id"])
    for count in (1, 2, 3):
        copy = fork(client, conversation, messages[count - 1])
        assert contents(client, copy["id"]) == contents(client, conversation["id"])[:count]
        assert copy["message_count"] == count
    client.say(copy["id"], "three")
    assert [m["content"] for m in provider.last.messages] == ["Be brief.", "one", "You said: one", "two\n\nthree"]
    assert provider.last.body["temperature"] == 0.1


def test_a_fork_goes_on_by_itself(client: Client, provider: Provider, conversation: Json) -> None:
    copy = fork(client, conversation)
    answer = client.say(copy["id"], "three").json()
    assert contents(client, copy["id"])[-2:] == ["three", "You said: three"]
    assert len(provider.last.messages) == 6
    after = client.read(copy["id"])
    assert (after["message_count"], after["token_count"]) == (6, answer["usage"]["total_tokens"])
    assert client.read(conversation["id"]) == conversation


def test_a_copied_answer_can_be_made_again(client: Client, conversation: Json) -> None:
    copy = fork(client, conversation)
    new = again(client, client.messages(copy["id"])[-1], model="tokens-1")
    assert contents(client, copy["id"]) == ["one", "You said: one", "two", "tok "]
    assert new["conversation_id"] == copy["id"]


def test_superseded_answers_are_left_out_but_for_the_one_named(client: Client, conversation: Json) -> None:
    old = client.messages(conversation["id"])[-1]
    new = again(client, old, model="tokens-1")
    again(client, new, model="tokens-2")
    assert contents(client, fork(client, conversation)["id"])[2:] == ["two", "tok tok "]
    assert contents(client, fork(client, conversation, new)["id"])[2:] == ["two", "tok "]
    assert contents(client, fork(client, conversation, old)["id"])[2:] == ["two", "You said: two"]


def test_an_empty_conversation_can_be_forked(client: Client) -> None:
    empty = client.conversation(tags=["kept"])
    copy = client.post(f"/api/conversations/{empty['id']}/fork").json()
    assert (copy["forked_from"], copy["forked_at"], copy["message_count"]) == (empty["id"], None, 0)
    assert copy["tags"] == ["kept"]


def test_calls_and_their_results_are_copied(client: Client, provider: Provider) -> None:
    made = client.conversation()
    post(client, made, content="Weather?", model="tool-calls", tools=[WEATHER])
    copy = fork(client, made)
    post(client, copy, tool_results=results(*IDS))
    assert [message["role"] for message in provider.last.messages][1:3] == ["user", "assistant"]
    second = fork(client, copy)
    assert [
        {name: message[name] for name in ("role", "content", "tool_calls", "tool_call_id")}
        for message in client.messages(second["id"])
    ] == [
        {name: message[name] for name in ("role", "content", "tool_calls", "tool_call_id")}
        for message in client.messages(copy["id"])
    ]


def test_images_are_copied(client: Client, provider: Provider) -> None:
    made = client.conversation()
    post(client, made, content=PICTURE)
    copy = fork(client, made)
    assert client.messages(copy["id"])[0]["parts"] == PICTURE
    client.say(copy["id"], "and now?")
    assert provider.last.messages[1]["content"] == PICTURE


def test_half_an_answer_is_never_copied(client: Client, provider: Provider, conversation: Json) -> None:
    messages = client.messages(conversation["id"])
    with client.stream(conversation["id"], "three", model="hang-mid-stream") as stream:
        running = stream.next("message.created").data
        stream.text("three ")
        path = f"/api/conversations/{conversation['id']}/fork"
        for body in ({}, {"message_id": running["id"]}):
            assert_problem(client.post(path, json=body), 409, "turn_in_progress")
        assert contents(client, fork(client, conversation, messages[-1])["id"])[-1] == "You said: two"
        asked = client.messages(conversation["id"])[-2]
        answer = edit(client, asked, "instead").json()
        assert contents(client, answer["conversation_id"])[-3:] == ["You said: two", "instead", "You said: instead"]
        provider.release()
        assert list(stream)[-1].name == "message.completed"


def test_only_your_own_can_be_forked(client: Client, stranger: Client, conversation: Json) -> None:
    path = f"/api/conversations/{conversation['id']}/fork"
    message = client.messages(conversation["id"])[0]
    assert_problem(stranger.post(path), 404, "conversation_not_found")
    assert_problem(stranger.post(path, json={"message_id": message["id"]}), 404, "conversation_not_found")
    assert_problem(client.post(path, json={"message_id": conversation["id"]}), 404, "message_not_found")
    elsewhere = f"/api/conversations/{client.conversation()['id']}/fork"
    assert_problem(client.post(elsewhere, json={"message_id": message["id"]}), 404, "message_not_found")
    assert_problem(client.post(path, json={"message": message["id"]}), 422, "invalid_request", "message")


# --- edit


def test_an_edited_message_is_answered_in_a_fork(client: Client, provider: Provider, conversation: Json) -> None:
    before = client.messages(conversation["id"])
    response = edit(client, before[2], "deux", model="tokens-2", max_tokens=9)
    assert response.status_code == 200, response.text
    answer = response.json()
    copy = client.read(answer["conversation_id"])
    assert (copy["forked_from"], copy["forked_at"]) == (conversation["id"], before[1]["id"])
    assert (copy["title"], copy["tags"], copy["message_count"]) == ("Mine", ["b", "a"], 4)
    assert contents(client, copy["id"]) == ["one", "You said: one", "deux", "tok tok "]
    assert client.messages(copy["id"])[-1] == answer
    assert [m["content"] for m in provider.last.messages] == ["Be brief.", "one", "You said: one", "deux"]
    assert (provider.last.body["max_tokens"], provider.last.body["temperature"]) == (9, 0.1)
    assert copy["token_count"] == answer["usage"]["total_tokens"]
    assert client.messages(conversation["id"]) == before
    assert client.read(conversation["id"]) == conversation


def test_the_first_message_can_be_edited(client: Client, provider: Provider) -> None:
    made = client.conversation()
    client.say(made["id"], "first words")
    answer = edit(client, client.messages(made["id"])[0], "other words").json()
    copy = client.read(answer["conversation_id"])
    assert (copy["forked_from"], copy["forked_at"], copy["title"]) == (made["id"], None, "other words")
    assert contents(client, copy["id"]) == ["other words", "You said: other words"]
    assert len(provider.last.messages) == 2


def test_an_edit_can_be_streamed(client: Client, conversation: Json) -> None:
    message = client.messages(conversation["id"])[2]
    response = edit(client, message, "deux", stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert "event: message.completed" in response.text
    newest = client.get("/api/conversations", params={"limit": 1}).json()["items"][0]
    assert newest["forked_from"] == conversation["id"]
    assert newest["id"] in response.text
    assert contents(client, newest["id"])[-1] == "You said: deux"


def test_an_edit_that_is_refused_leaves_nothing_behind(client: Client, stranger: Client, conversation: Json) -> None:
    asked, answer, *_ = client.messages(conversation["id"])
    before = client.get("/api/conversations").json()
    assert_problem(edit(client, answer, "x"), 422, "invalid_request", "message_id")
    assert_problem(edit(client, {**asked, "id": conversation["id"]}, "x"), 404, "message_not_found")
    assert_problem(edit(stranger, asked, "x"), 404, "conversation_not_found")
    assert_problem(edit(client, asked, "x", provider="nobody"), 400, "unknown_provider")
    assert_problem(edit(client, asked, " "), 422, "invalid_request", "content")
    assert_problem(edit(client, asked, PICTURE, provider="local"), 422, "invalid_request", "content")
    assert client.get("/api/conversations").json() == before


def test_an_edit_that_fails_keeps_the_fork(client: Client, conversation: Json) -> None:
    response = edit(client, client.messages(conversation["id"])[2], "deux", model="status-500")
    problem = assert_problem(response, 502, "server_error")
    assert problem["conversation_id"] != conversation["id"]
    last = client.messages(problem["conversation_id"])[-1]
    assert (last["id"], last["status"]) == (problem["message_id"], "failed")


# --- long ones


def long(owner: User, count: int) -> Conversation:
    made = Conversation.objects.create(owner=owner, provider="p", model="m")
    Message.objects.bulk_create(
        Message(conversation=made, role=(Role.USER, Role.ASSISTANT)[number % 2], content=f"number {number}")
        for number in range(count)
    )
    return made


@pytest.mark.django_db
def test_ten_thousand_messages_are_copied_in_their_order_and_soon(owner: User) -> None:
    source = long(owner, branching.MAX_COPIED)
    started = time.perf_counter()
    copy = branching.fork_conversation(owner, source.pk, None)
    assert time.perf_counter() - started < 5
    found = copy.messages.order_by("pk").values_list("content", flat=True)
    assert list(found) == [f"number {number}" for number in range(branching.MAX_COPIED)]


@pytest.mark.django_db
def test_more_than_that_are_refused(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branching, "MAX_COPIED", 3)
    source = long(owner, 4)
    with pytest.raises(Problem) as refused:
        branching.fork_conversation(owner, source.pk, None)
    assert refused.value.code == "too_many_messages"
    assert branching.fork_conversation(owner, source.pk, source.messages.order_by("pk")[2].pk).message_count == 3


def test_ids_of_copies_are_in_order_and_before_what_follows() -> None:
    end = uuid7()
    ids = list(branching.ids_before(end, 1_000))
    assert ids == sorted(ids)
    assert len(set(ids)) == 1_000
    assert ids[-1] < end
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, end.variant)}
