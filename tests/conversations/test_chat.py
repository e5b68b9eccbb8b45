"""/api/chat and /api/chat/{provider}: one call for a turn, with or without a conversation."""

from typing import Any

import pytest

from tests.fakes.behaviours import ECHO
from tests.fakes.client import Client, Stream, assert_problem
from tests.fakes.provider import Provider


def chat(client: Client, message: str, path: str = "/api/chat", **fields: Any) -> dict[str, Any]:
    response = client.post(path, json={"message": message, **fields})
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_it_makes_a_conversation_and_names_it(client: Client, provider: Provider) -> None:
    answer = chat(client, "hello", system_prompt="Be brief.", metadata={"ticket": "A-17"})
    assert answer["content"] == f"{ECHO}hello"
    conversation = client.read(answer["conversation_id"])
    assert (conversation["title"], conversation["provider"], conversation["model"]) == ("hello", "fake", "echo")
    assert (conversation["system_prompt"], conversation["metadata"]) == ("Be brief.", {"ticket": "A-17"})
    assert provider.last.messages[0]["content"] == "Be brief."


def test_it_goes_on_with_a_conversation(client: Client, provider: Provider) -> None:
    first = chat(client, "one")
    second = chat(client, "two", conversation_id=first["conversation_id"])
    assert second["conversation_id"] == first["conversation_id"]
    assert [message["content"] for message in provider.last.messages[1:]] == ["one", f"{ECHO}one", "two"]
    assert len(client.messages(first["conversation_id"])) == 4


def test_it_streams(client: Client) -> None:
    with client.http.stream("POST", "/api/chat", json={"message": "hello", "stream": True}) as response:
        created, *_, completed = list(Stream(response))
    assert created.data["conversation_id"] == completed.data["conversation_id"]
    assert completed.data == client.messages(completed.data["conversation_id"])[-1]


def test_the_provider_may_stand_in_the_path(client: Client) -> None:
    answer = chat(client, "hello", "/api/chat/fake")
    assert answer["provider"] == "fake"
    assert client.read(answer["conversation_id"])["provider"] == "fake"


def test_a_provider_in_the_path_leaves_no_room_for_another_in_the_body(client: Client) -> None:
    assert_problem(
        client.post("/api/chat/fake", json={"message": "x", "provider": "local"}), 422, "invalid_request", "provider"
    )


def test_a_new_conversation_keeps_the_model_it_began_with(client: Client, provider: Provider) -> None:
    answer = chat(client, "hello", model="tokens-2")
    chat(client, "again", conversation_id=answer["conversation_id"])
    assert provider.last.body["model"] == "tokens-2"


def test_a_model_of_one_turn_does_not_stay(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "hello", model="tokens-2")
    client.say(conversation["id"], "hello")
    assert provider.last.body["model"] == "echo"


@pytest.mark.parametrize("stream", [False, True])
def test_another_provider_takes_its_own_default_model(client: Client, stream: bool) -> None:
    """`local` is not there in these tests, so that the turn fails; the message says whom it asked."""
    conversation = client.conversation(model="tokens-2")
    if stream:
        *_, last = client.events(conversation["id"], "hello", provider="local")
        assert (last.name, last.data["code"]) == ("message.failed", "unreachable")
    else:
        assert_problem(client.say(conversation["id"], "hello", provider="local"), 503, "unreachable")
    answer = client.messages(conversation["id"])[-1]
    assert (answer["provider"], answer["model"]) == ("local", "smollm2-135m-instruct")
