"""Tags, metadata, the archive and pins: what a user puts on conversations, and finds them again by."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from conversations.listing import Filters, filtered
from conversations.models import Conversation
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server


@pytest.fixture
def carol(server: Server, provider: Provider) -> Iterator[Client]:
    """Who has no conversations but the test's own."""
    client = server.client("carol")
    empty(client)
    yield client
    empty(client)


def empty(client: Client) -> None:
    for query in ({}, {"archived": True}, {"deleted": True}):
        for conversation in page(client, **query):
            client.delete(f"/api/conversations/{conversation['id']}", params={"permanent": True})


def page(client: Client, **query: Any) -> list[Json]:
    response = client.get("/api/conversations", params={"limit": 100, **query})
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


def listed(client: Client, **query: Any) -> list[str]:
    return [conversation["title"] for conversation in page(client, **query)]


def change(client: Client, conversation: Json, **fields: Any) -> Json:
    response = client.patch(f"/api/conversations/{conversation['id']}", json=fields)
    assert response.status_code == 200, response.text
    return dict(response.json())


# --- tags


def test_tags_are_kept_as_they_were_given(client: Client) -> None:
    conversation = client.conversation(tags=["work", " Größe 🌍 ", "a" * 64, "work"])
    assert conversation["tags"] == ["work", "Größe 🌍", "a" * 64]
    assert client.read(conversation["id"]) == conversation
    assert client.get("/api/conversations", params={"limit": 1}).json()["items"] == [conversation]


def test_new_tags_replace_the_old(client: Client) -> None:
    conversation = client.conversation(tags=["b", "a"], title="kept")
    changed = change(client, conversation, tags=["c", "b"])
    assert changed == {**conversation, "tags": ["c", "b"]} == client.read(conversation["id"])
    assert change(client, conversation, title="new")["tags"] == ["c", "b"]
    assert change(client, conversation, tags=None)["tags"] == ["c", "b"], "null changes nothing, as everywhere"
    assert change(client, conversation, tags=[])["tags"] == []


@pytest.mark.parametrize(
    ("tags", "field"),
    [
        ([f"tag {n}" for n in range(33)], "tags"),
        (["ok", " \n "], "tags.1"),
        (["a" * 65], "tags.0"),
        (["nul\x00"], "tags.0"),
        ([7], "tags.0"),
        ("work", "tags"),
    ],
)
def test_tags_that_cannot_be_are_refused(client: Client, tags: Any, field: str) -> None:
    assert_problem(client.post("/api/conversations", json={"tags": tags}), 422, "invalid_request", field)
    conversation = client.conversation(tags=["kept"])
    response = client.patch(f"/api/conversations/{conversation['id']}", json={"tags": tags})
    assert_problem(response, 422, "invalid_request", field)
    assert client.read(conversation["id"])["tags"] == ["kept"]


def test_the_list_has_those_with_all_the_tags(carol: Client, client: Client) -> None:
    client.conversation(title="somebody else's", tags=["a", "b"])
    for title, tags in (("both", ["b", "a", "c"]), ("one", ["a"]), ("none", []), ("longer", ["ab"])):
        carol.conversation(title=title, tags=tags)
    assert listed(carol, tag="a") == ["one", "both"]
    assert listed(carol, tag=["a", "b"]) == ["both"]
    assert listed(carol, tag=" a ") == ["one", "both"]
    assert listed(carol, tag="A") == []
    assert_problem(carol.get("/api/conversations?tag="), 422, "invalid_request", "tag.0")


# --- archive, pins


def test_the_archived_are_left_out_unless_asked_for(carol: Client) -> None:
    carol.conversation(title="here")
    away = carol.conversation(title="away")
    assert (away["archived"], away["pinned"]) == (False, False)
    assert change(carol, away, archived=True)["archived"] is True
    assert listed(carol) == listed(carol, archived=False) == ["here"]
    assert listed(carol, archived=True) == ["away"]
    assert carol.say(away["id"], "It can still be used.").status_code == 200
    assert change(carol, away, archived=False)["archived"] is False
    assert listed(carol) == ["away", "here"]


def test_pins_are_a_filter(carol: Client) -> None:
    change(carol, carol.conversation(title="pinned"), pinned=True)
    change(carol, carol.conversation(title="pinned and archived"), pinned=True, archived=True)
    carol.conversation(title="neither")
    assert listed(carol, pinned=True) == ["pinned"]
    assert listed(carol, pinned=False) == ["neither"]
    assert listed(carol, pinned=True, archived=True) == ["pinned and archived"]
    assert_problem(carol.get("/api/conversations?pinned=7"), 422, "invalid_request", "pinned")


def test_filters_hold_from_page_to_page(carol: Client) -> None:
    for number in range(4):
        carol.conversation(title=f"in {number}", tags=["in"])
        carol.conversation(title="out")
    first = carol.get("/api/conversations", params={"tag": "in", "limit": 3}).json()
    second = carol.get("/api/conversations", params={"tag": "in", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [item["title"] for item in first["items"] + second["items"]] == ["in 3", "in 2", "in 1", "in 0"]
    assert second["next_cursor"] is None


# --- metadata

METADATA: dict[str, Json] = {
    "string": {"ticket": "A-17"},
    "number": {"n": 42},
    "number as text": {"n": "42"},
    "fraction": {"n": 0.5},
    "large": {"n": 12345678901234567890123},
    "true": {"flag": True},
    "true as text": {"flag": "true"},
    "one": {"flag": 1},
    "null": {"flag": None},
    "deep": {"deep": {"ticket": "A-17"}, "list": ["A-17"]},
    "odd": {"7": "seven", "isnull": "x", "a__b": "y", "größe": "Ä", 'q"uote': "'", "": "no name", "empty": ""},
    "colon": {"url": "https://example.com"},
}
FOUND = {
    "ticket:A-17": ["string"],
    "ticket:A-1": [],
    "ticket:a-17": [],
    "n:42": ["number", "number as text"],
    "n:42.0": ["number"],
    "n:0.5": ["fraction"],
    "n:12345678901234567890123": ["large"],
    "flag:true": ["true", "true as text"],
    "flag:false": [],
    "flag:1": ["one"],
    "flag:null": [],
    "list:A-17": [],
    "7:seven": ["odd"],
    "isnull:x": ["odd"],
    "a__b:y": ["odd"],
    "größe:Ä": ["odd"],
    "q\"uote:'": ["odd"],
    "empty:": ["odd"],
    "url:https://example.com": ["colon"],
    "n:1e999": [],
    "n:NaN": [],
    "n:" + "9" * 390: [],
    "%s:%": [],
}


def test_the_list_has_those_with_this_metadata(carol: Client) -> None:
    for title, metadata in METADATA.items():
        carol.conversation(title=title, metadata=metadata)
    assert {asked: sorted(listed(carol, metadata=asked)) for asked in FOUND} == FOUND


def test_several_pairs_of_metadata_must_all_hold(carol: Client) -> None:
    carol.conversation(title="both", metadata={"a": 1, "b": "x"})
    carol.conversation(title="one", metadata={"a": 1, "b": "y"})
    assert listed(carol, metadata=["a:1", "b:x"]) == ["both"]


@pytest.mark.parametrize("pair", ["ticket", ":x", "", "a\x00:b", "a:" + "b" * 400])
def test_metadata_that_is_no_pair_is_refused(client: Client, pair: str) -> None:
    response = client.get("/api/conversations", params={"metadata": pair})
    assert_problem(response, 422, "invalid_request", "metadata.0")


# --- beside a turn


def test_changes_leave_a_running_turn_alone(client: Client, provider: Provider) -> None:
    conversation = client.conversation(tags=["old"])
    with client.stream(conversation["id"], "hello", model="hang-mid-stream") as stream:
        provider.wait()
        change(client, conversation, title="new", tags=["new"], archived=True, pinned=True, metadata={"a": 1})
        provider.release()
        assert list(stream)[-1].name == "message.completed"
    after = client.read(conversation["id"])
    assert (after["title"], after["tags"], after["metadata"]) == ("new", ["new"], {"a": 1})
    assert (after["archived"], after["pinned"], after["message_count"]) == (True, True, 2)
    assert after["token_count"] > 0


# --- the database


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "conversation_shown"),
        (Filters(tags=["a"]), "conversation_shown"),
        (Filters(archived=True), "conversation_archived"),
        (Filters(archived=None, pinned=True), "conversation_pinned"),
    ],
)
def test_a_page_is_read_from_an_index(owner: User, filters: Filters, index: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    page = filtered(Conversation.objects.filter(owner=owner), filters).order_by("-pk")[:21]
    plan = page.explain()
    assert re.search(rf"\b{index}\b", plan), plan
    assert "TEMP B-TREE" not in plan
