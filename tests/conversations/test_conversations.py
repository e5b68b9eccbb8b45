"""The conversation endpoints: create, list, read, change, delete; pages that stay the same."""

import re
from typing import Any

from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server


def test_it_creates_an_empty_conversation(client: Client) -> None:
    response = client.post("/api/conversations", json={})
    assert response.status_code == 201
    conversation = response.json()
    assert re.fullmatch(r"[0-9a-f-]{14}7[0-9a-f-]{21}", conversation["id"])
    assert conversation == client.read(conversation["id"])
    assert (conversation["title"], conversation["provider"], conversation["model"]) == ("", "fake", "echo")
    assert conversation["cost_usd"] is None
    assert client.messages(conversation["id"]) == []


def test_it_creates_a_conversation_as_asked(client: Client) -> None:
    fields: dict[str, Any] = {
        "title": "Größe 🌍",
        "provider": "local",
        "model": "mine",
        "system_prompt": "Be brief.\nAlways.",
        "metadata": {"ticket": "A-17", "nested": {"list": [1, 2.5, None, True, "ä"]}},
    }
    conversation = client.conversation(**fields)
    assert {name: conversation[name] for name in fields} == fields
    assert {name: client.read(conversation["id"])[name] for name in fields} == fields


def test_it_changes_only_the_fields_that_are_sent(client: Client) -> None:
    before = client.conversation(title="old", system_prompt="kept", metadata={"a": 1})
    path = f"/api/conversations/{before['id']}"
    response = client.patch(path, json={"title": "new", "metadata": {}})
    assert response.status_code == 200
    assert response.json() == {**before, "title": "new", "metadata": {}} == client.read(before["id"])
    assert client.patch(path, json={}).json() == response.json()


def test_a_changed_provider_brings_its_default_model(client: Client) -> None:
    path = f"/api/conversations/{client.conversation(model='tokens-2')['id']}"
    changed = client.patch(path, json={"provider": "local"}).json()
    assert (changed["provider"], changed["model"]) == ("local", "smollm2-135m-instruct")
    changed = client.patch(path, json={"provider": "fake", "model": "tokens-3"}).json()
    assert (changed["provider"], changed["model"]) == ("fake", "tokens-3")


def test_a_change_takes_effect_with_the_next_turn(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    client.patch(f"/api/conversations/{conversation['id']}", json={"model": "tokens-3", "system_prompt": "New."})
    assert client.say(conversation["id"], "hello").json()["content"] == "tok tok tok "
    assert provider.last.messages[0]["content"] == "New."


def pages(client: Client, path: str, limit: int) -> list[list[str]]:
    """The ids on every page."""
    found: list[list[str]] = []
    cursor = None
    while True:
        page = client.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})}).json()
        found.append([item["id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_the_list_is_the_users_own_newest_first_page_by_page(server: Server, client: Client) -> None:
    carol = server.client("carol")
    client.conversation()
    made = [carol.conversation()["id"] for _ in range(5)]
    assert pages(carol, "/api/conversations", 2) == [made[:2:-1], made[2:0:-1], made[:1]]
    assert pages(carol, "/api/conversations", 5) == [made[::-1]], "no empty last page"


def test_a_page_stays_the_same_while_conversations_come_in(client: Client) -> None:
    made = [client.conversation()["id"] for _ in range(4)][::-1]
    first = client.get("/api/conversations", params={"limit": 2}).json()
    for _ in range(3):
        client.conversation()
    second = client.get("/api/conversations", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == made


def test_messages_come_oldest_first_page_by_page(client: Client) -> None:
    conversation = client.conversation()
    for number in range(3):
        client.say(conversation["id"], str(number))
    path = f"/api/conversations/{conversation['id']}/messages"
    found = pages(client, path, 4)
    assert [len(page) for page in found] == [4, 2]
    assert [*found[0], *found[1]] == [message["id"] for message in client.messages(conversation["id"])]
    assert [message["role"] for message in client.messages(conversation["id"])] == ["user", "assistant"] * 3


def test_the_next_page_of_messages_holds_what_has_come_meanwhile(client: Client) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "0")
    client.say(conversation["id"], "1")
    path = f"/api/conversations/{conversation['id']}/messages"
    first = client.get(path, params={"limit": 3}).json()
    client.say(conversation["id"], "2")
    second = client.get(path, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert first["items"] + second["items"] == client.messages(conversation["id"])
    assert second["next_cursor"] is None


ATTEMPT = ("number", "provider", "model", "outcome", "error_code", "provider_status")


def attempts(client: Client, message: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"/api/conversations/{message['conversation_id']}/messages/{message['id']}/attempts"
    page = client.get(path).json()
    assert page["next_cursor"] is None
    return list(page["items"])


def test_an_answer_lists_its_attempts(client: Client) -> None:
    [attempt] = attempts(client, client.say(client.conversation()["id"], "hello").json())
    assert [attempt.pop(name) for name in ATTEMPT] == [1, "fake", "echo", "completed", None, None]
    assert set(attempt) == {"ttft_ms", "latency_ms"}
    assert 0 <= attempt["ttft_ms"] <= attempt["latency_ms"] < 10_000


def test_a_failed_answer_lists_its_attempts(client: Client) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "hello", model="status-500")
    [attempt] = attempts(client, client.messages(conversation["id"])[-1])
    assert [attempt[name] for name in ATTEMPT] == [1, "fake", "status-500", "failed", "server_error", 500]
    assert attempt["ttft_ms"] is None


def test_only_your_own_answers_have_attempts(client: Client, stranger: Client) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "hello")
    asked, answer = client.messages(conversation["id"])
    path = f"/api/conversations/{{}}/messages/{answer['id']}/attempts"
    assert_problem(stranger.get(path.format(conversation["id"])), 404, "message_not_found")
    assert_problem(client.get(path.format(client.conversation()["id"])), 404, "message_not_found")
    assert_problem(client.get(path.format(conversation["id"]).replace(answer["id"], "7")), 404, "not_found")
    path = path.format(conversation["id"]).replace(answer["id"], asked["id"])
    assert_problem(client.get(path), 422, "invalid_request", "message_id")
