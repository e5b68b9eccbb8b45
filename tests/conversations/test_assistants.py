"""Assistants: presets that conversations start from."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from chatproject.problems import Problem
from conversations import assistants
from conversations.models import Assistant
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server

PATH = "/api/assistants"
FIELDS: Json = {
    "name": "Proofreader",
    "description": "Finds mistakes.",
    "provider": "fake",
    "model": "tokens-2",
    "system_prompt": "Find the mistakes.",
    "parameters": {"temperature": 0.2, "max_tokens": 50},
}


def assistant(client: Client, **fields: Any) -> Json:
    response = client.post(PATH, json={**FIELDS, **fields})
    assert response.status_code == 201, response.text
    return dict(response.json())


@pytest.fixture
def proofreader(client: Client) -> Any:
    made = assistant(client)
    yield made
    client.delete(f"{PATH}/{made['id']}")


def test_it_is_kept_as_it_was_made(client: Client, proofreader: Json) -> None:
    assert {name: proofreader[name] for name in FIELDS} == FIELDS
    assert client.get(f"{PATH}/{proofreader['id']}").json() == proofreader
    assert client.get(PATH, params={"limit": 1}).json()["items"] == [proofreader]


def test_a_name_is_enough(client: Client) -> None:
    response = client.post(PATH, json={"name": " Minimal "})
    made = response.json()
    assert (made["name"], made["provider"], made["model"]) == ("Minimal", "fake", "echo")
    assert (made["description"], made["system_prompt"], made["parameters"]) == ("", "", {})
    client.delete(f"{PATH}/{made['id']}")


def test_it_changes_the_fields_that_are_sent(client: Client, proofreader: Json) -> None:
    path = f"{PATH}/{proofreader['id']}"
    changed = client.patch(path, json={"name": "Reader", "parameters": {"max_tokens": 7}}).json()
    assert changed["updated_at"] > proofreader["updated_at"]
    new = {"name": "Reader", "parameters": {"max_tokens": 7}, "updated_at": changed["updated_at"]}
    assert changed == {**proofreader, **new} == client.get(path).json()
    assert client.patch(path, json={"provider": "local"}).json()["model"] == "smollm2-135m-instruct"
    assert client.patch(path, json={}).json()["name"] == "Reader"


def test_no_two_of_a_user_have_the_same_name(client: Client, stranger: Client, proofreader: Json) -> None:
    problem = assert_problem(client.post(PATH, json=FIELDS), 409, "assistant_exists", "name")
    assert "another" in problem["detail"]
    other = assistant(client, name="Other")
    path = f"{PATH}/{other['id']}"
    assert_problem(client.patch(path, json={"name": "Proofreader"}), 409, "assistant_exists", "name")
    assert client.patch(path, json={"name": "Other"}).status_code == 200
    theirs = assistant(stranger)
    assert theirs["name"] == proofreader["name"]
    for owner, made in ((client, other), (stranger, theirs)):
        assert owner.delete(f"{PATH}/{made['id']}").status_code == 204


def test_the_list_is_the_users_own_page_by_page(server: Server) -> None:
    carol = server.client("carol")
    made = [assistant(carol, name=f"number {number}")["id"] for number in range(3)][::-1]
    first = carol.get(PATH, params={"limit": 2}).json()
    second = carol.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == made
    assert second["next_cursor"] is None
    for id_ in made:
        carol.delete(f"{PATH}/{id_}")


def test_somebody_elses_is_not_found(client: Client, stranger: Client, proofreader: Json) -> None:
    path = f"{PATH}/{proofreader['id']}"
    for response in (
        stranger.get(path),
        stranger.patch(path, json={"name": "x"}),
        stranger.delete(path),
        stranger.post("/api/conversations", json={"assistant_id": proofreader["id"]}),
        stranger.post("/api/chat", json={"message": "x", "assistant_id": proofreader["id"]}),
    ):
        assert_problem(response, 404, "assistant_not_found")
    assert client.get(path).json() == proofreader


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": None}, "name"),
        ({"parameters": {"temperature": 3}}, "parameters.temperature"),
        ({"parameters": {"temperature": "hot"}}, "parameters.temperature"),
        ({"parameters": {"max_tokens": 0}}, "parameters.max_tokens"),
        ({"parameters": {"top_p": 1}}, "parameters.top_p"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_what_cannot_be_is_refused(client: Client, fields: Json, field: str) -> None:
    assert_problem(client.post(PATH, json={**FIELDS, **fields}), 422, "invalid_request", field)


def test_an_unknown_provider_is_refused(client: Client, proofreader: Json) -> None:
    assert_problem(client.post(PATH, json={**FIELDS, "provider": "nobody"}), 400, "unknown_provider")
    path = f"{PATH}/{proofreader['id']}"
    assert_problem(client.patch(path, json={"provider": "nobody"}), 400, "unknown_provider")


# --- conversations


def test_a_conversation_starts_from_it(client: Client, provider: Provider, proofreader: Json) -> None:
    conversation = client.conversation(assistant_id=proofreader["id"])
    for name in ("provider", "model", "system_prompt", "parameters"):
        assert conversation[name] == FIELDS[name], name
    assert conversation["assistant_id"] == proofreader["id"]
    client.say(conversation["id"], "helo")
    assert provider.last.messages[0]["content"] == "Find the mistakes."
    asked = provider.last.body
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("tokens-2", 0.2, 50)
    found = client.get("/api/conversations", params={"assistant_id": proofreader["id"]}).json()["items"]
    assert [item["id"] for item in found] == [conversation["id"]]


def test_what_is_named_wins(client: Client, provider: Provider, proofreader: Json) -> None:
    own: Json = {"model": "echo", "system_prompt": "", "parameters": {"temperature": 1.5}}
    conversation = client.conversation(assistant_id=proofreader["id"], **own)
    assert (conversation["model"], conversation["system_prompt"]) == ("echo", "")
    assert conversation["parameters"] == {"temperature": 1.5, "max_tokens": 50}
    client.say(conversation["id"], "hello", temperature=0, max_tokens=3)
    assert (provider.last.body["temperature"], provider.last.body["max_tokens"]) == (0, 3)
    elsewhere = client.conversation(assistant_id=proofreader["id"], provider="local")
    assert (elsewhere["provider"], elsewhere["model"]) == ("local", "smollm2-135m-instruct")


def test_a_chat_starts_from_it(client: Client, provider: Provider, proofreader: Json) -> None:
    answer = client.post("/api/chat", json={"message": "helo", "assistant_id": proofreader["id"]}).json()
    assert answer["content"] == "tok tok "
    assert provider.last.messages[0]["content"] == "Find the mistakes."
    assert provider.last.body["temperature"] == 0.2
    conversation = client.read(answer["conversation_id"])
    assert (conversation["model"], conversation["assistant_id"]) == ("tokens-2", proofreader["id"])
    body = {"message": "x", "assistant_id": proofreader["id"], "conversation_id": conversation["id"]}
    assert_problem(client.post("/api/chat", json=body), 422, "invalid_request", "assistant_id")
    own = {"message": "helo", "assistant_id": proofreader["id"], "model": "echo", "system_prompt": "Mine."}
    assert client.post("/api/chat", json=own).json()["content"] == "You said: helo"
    assert provider.last.messages[0]["content"] == "Mine."


def test_a_conversation_keeps_what_it_took(client: Client, provider: Provider, proofreader: Json) -> None:
    conversation = client.conversation(assistant_id=proofreader["id"])
    client.patch(f"{PATH}/{proofreader['id']}", json={"system_prompt": "Other.", "model": "echo"})
    assert client.read(conversation["id"]) == conversation
    assert client.delete(f"{PATH}/{proofreader['id']}").status_code == 204
    assert client.read(conversation["id"]) == {**conversation, "assistant_id": None}
    assert client.say(conversation["id"], "helo").json()["content"] == "tok tok "
    assert_problem(client.get(f"{PATH}/{proofreader['id']}"), 404, "assistant_not_found")


def test_parameters_of_a_conversation_can_be_changed(client: Client, provider: Provider) -> None:
    conversation = client.conversation(parameters={"temperature": 0.3, "max_tokens": None})
    assert conversation["parameters"] == {"temperature": 0.3}
    client.say(conversation["id"], "hello")
    assert provider.last.body["temperature"] == 0.3
    assert "max_tokens" not in provider.last.body
    client.patch(f"/api/conversations/{conversation['id']}", json={"parameters": {}})
    client.say(conversation["id"], "hello")
    assert "temperature" not in provider.last.body


def test_its_words_stay_out_of_logs(server: Server, client: Client, proofreader: Json) -> None:
    secret = assistant(client, name="Xylophone", description="Quixotic", system_prompt="Zephyrous")
    client.post(PATH, json={"name": "Xylophone"})
    client.conversation(assistant_id=secret["id"], tags=["Jabberwock"], metadata={"Bandersnatch": "Snark"})
    log = server.log()
    for word in ("Xylophone", "Quixotic", "Zephyrous", "Jabberwock", "Bandersnatch", "Snark"):
        assert word not in log
    client.delete(f"{PATH}/{secret['id']}")


@pytest.mark.django_db
def test_a_change_of_one_that_is_deleted_meanwhile_finds_none(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    made = assistants.create_assistant(owner, {"name": "Gone"})
    found = assistants.assistant_of(owner, made.pk)
    monkeypatch.setattr(assistants, "assistant_of", lambda *_: found)
    Assistant.objects.all().delete()
    with pytest.raises(Problem, match="assistant_not_found"):
        assistants.change_assistant(owner, made.pk, {"description": "x"})
