"""Deleting a conversation: for now, for good, and by `manage.py purge_conversations`."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from conversations.models import Conversation, Message, Role
from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.database import Databases, manage
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server


def path(conversation: Json, *more: str) -> str:
    return "/".join(["/api/conversations", conversation["id"], *more])


def ids(client: Client, **query: Any) -> list[str]:
    return [item["id"] for item in client.get("/api/conversations", params=query).json()["items"]]


@pytest.fixture
def conversation(client: Client) -> Json:
    made = client.conversation(tags=["kept"])
    client.say(made["id"], "hello")
    return client.read(made["id"])


def test_a_deleted_conversation_is_nowhere_to_be_found(client: Client, conversation: Json) -> None:
    asked, answer = client.messages(conversation["id"])
    response = client.delete(path(conversation))
    assert (response.status_code, response.content) == (204, b"")
    assert conversation["id"] not in ids(client)
    for response in (
        client.get(path(conversation)),
        client.get(path(conversation, "messages")),
        client.patch(path(conversation), json={"title": "x"}),
        client.delete(path(conversation)),
        client.say(conversation["id"], "x"),
        client.post("/api/chat", json={"message": "x", "conversation_id": conversation["id"]}),
        client.post(path(conversation, "fork")),
        client.post(path(conversation, "messages", answer["id"], "regenerate")),
        client.post(path(conversation, "messages", asked["id"], "edit"), json={"content": "x"}),
    ):
        assert_problem(response, 404, "conversation_not_found")
    for response in (
        client.get(path(conversation, "messages", answer["id"], "attempts")),
        client.post(path(conversation, "messages", answer["id"], "cancel")),
        client.post(path(conversation, "messages", answer["id"], "feedback"), json={"rating": "up"}),
    ):
        assert_problem(response, 404, "message_not_found")


def test_it_is_listed_among_the_deleted_and_restored_as_it_was(
    client: Client, stranger: Client, conversation: Json
) -> None:
    before = client.messages(conversation["id"])
    client.patch(path(conversation), json={"archived": True})
    client.delete(path(conversation))
    first, *_ = client.get("/api/conversations", params={"deleted": True}).json()["items"]
    assert first == {**conversation, "archived": True, "deleted_at": first["deleted_at"]}
    assert first["deleted_at"] is not None
    assert conversation["id"] not in ids(stranger, deleted=True)
    assert_problem(stranger.post(path(conversation, "restore")), 404, "conversation_not_found")
    restored = client.post(path(conversation, "restore"))
    assert (restored.status_code, restored.json()) == (200, {**conversation, "archived": True})
    assert client.read(conversation["id"]) == restored.json()
    assert client.messages(conversation["id"]) == before
    assert client.post(path(conversation, "restore")).json() == restored.json(), "nothing happens twice"


@pytest.mark.parametrize("deleted_before", [False, True])
def test_it_is_deleted_for_good(
    client: Client, stranger: Client, server: Server, conversation: Json, deleted_before: bool
) -> None:
    if deleted_before:
        client.delete(path(conversation))
    before = server.db.count("conversations_message")
    forever = {"permanent": True}
    assert_problem(stranger.delete(path(conversation), params=forever), 404, "conversation_not_found")
    assert client.delete(path(conversation), params=forever).status_code == 204
    assert server.db.count("conversations_message") == before - 2
    assert_problem(client.post(path(conversation, "restore")), 404, "conversation_not_found")
    assert_problem(client.delete(path(conversation), params=forever), 404, "conversation_not_found")


@pytest.mark.parametrize("permanent", [False, True])
def test_a_turn_that_runs_in_it_is_ended(client: Client, provider: Provider, permanent: bool) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "hello", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        assert client.delete(path(conversation), params={"permanent": permanent}).status_code == 204
        [failed] = list(stream)
    assert (failed.name, failed.data["code"]) == ("message.failed", "cancelled")
    assert provider.last.hung_up.wait(5)
    if not permanent:
        client.post(path(conversation, "restore"))
        answer = client.messages(conversation["id"])[-1]
        assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)


def test_a_turn_at_another_server_is_ended_too(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with server.neighbour() as other, client.stream(conversation["id"], "hello", model="hang") as stream:
        provider.wait()
        other.client().delete(path(conversation))
        assert list(stream)[-1].data["code"] == "cancelled"


# --- the purge


def deleted(title: str, days: float | None) -> Conversation:
    """One that was deleted that many days ago; None: not at all."""
    owner, _ = User.objects.get_or_create(username="alice")
    moment = None if days is None else timezone.now() - timedelta(days=days)
    made = Conversation.objects.create(owner=owner, title=title, provider="fake", model="echo", deleted_at=moment)
    Message.objects.create(conversation=made, role=Role.USER, content=title)
    return made


def purge(*arguments: str) -> str:
    out = StringIO()
    call_command("purge_conversations", *arguments, stdout=out)
    return out.getvalue()


def titles() -> set[str]:
    return set(Conversation.objects.values_list("title", flat=True))


@pytest.mark.django_db
def test_it_purges_what_was_deleted_longer_ago() -> None:
    deleted("old", 90.1)
    deleted("young", 89.9)
    deleted("kept", None)
    assert purge("--older-than", "90d", "--dry-run") == "Would purge 1 conversations.\n"
    assert titles() == {"old", "young", "kept"}
    assert purge("--older-than", "90d") == "Purged 1 conversations.\n"
    assert titles() == set(Message.objects.values_list("content", flat=True)) == {"young", "kept"}
    assert purge("--older-than", "12h") == "Purged 1 conversations.\n"
    assert titles() == {"kept"}


@pytest.mark.django_db
def test_a_fork_outlives_the_purge_of_its_origin() -> None:
    origin = deleted("origin", 2)
    fork = Conversation.objects.create(owner=origin.owner, title="fork", provider="p", model="m", forked_from=origin)
    purge("--older-than", "1d")
    fork.refresh_from_db()
    assert fork.forked_from is None


@pytest.mark.django_db
def test_it_purges_batch_by_batch() -> None:
    for number in range(5):
        deleted(f"old {number}", 2 + number)
    assert purge("--older-than", "30m", "--batch", "2") == "Purged 5 conversations.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--older-than", "90"],
        ["--older-than", "-1d"],
        ["--older-than", "99999999d"],
        ["--older-than", "1d", "--batch", "0"],
        [],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"--older-than|--batch"):
        purge(*arguments)


def test_the_purge_checks_in_with_sentry(databases: Databases, ingest: Ingest) -> None:
    url = databases.new().url
    manage(url, "purge_conversations", "--older-than", "90d", SENTRY_DSN=ingest.dsn)
    begun, ended = ingest.items("check_in")
    assert (begun["status"], ended["status"]) == ("in_progress", "ok")
    assert begun["monitor_slug"] == "purge-conversations"
    assert begun["monitor_config"]["schedule"] == {"type": "crontab", "value": "0 4 * * *"}
