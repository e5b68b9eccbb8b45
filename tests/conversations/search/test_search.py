"""GET /api/conversations/search, on both databases."""

import re
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conversations.search.conftest import search, wait_indexed
from tests.fakes.client import Client, assert_problem
from tests.fakes.server import Server
from tests.fakes.waiting import poll

PATH = "/api/conversations/search"


def test_it_finds_what_either_side_said_and_shows_where(alice: Client, said: dict[str, str]) -> None:
    conversation = said["Metals"]
    user, answer = alice.messages(conversation)
    found = {item["role"]: item for item in search(alice, "zinc")}
    assert found.keys() == {"user", "assistant"}
    assert found["user"].pop("score") > 0
    assert found["user"] == {
        "conversation_id": conversation,
        "message_id": user["id"],
        "role": "user",
        "title": "Metals",
        "snippet": "Is &lt;b&gt;<mark>zinc</mark>&lt;/b&gt; &amp; tin an alloy?",
        "created_at": user["created_at"],
    }
    assert found["assistant"]["message_id"] == answer["id"]


@pytest.mark.parametrize(
    "q",
    [
        *("cafe", "CAFÉ", "cafe\u0301", "été", "ete", "l'été", "lodz", "Łódź"),
        *("编程", "音乐", "喜欢编", "程", "京都", "都庁へ", "行き", "庁", "하세요", "हिन्दी"),
        *("cafe 编程", "行きました café", '"de l ete"', '"le cafe de"', '"我喜欢"', "“le café”"),
        *("foo_bar2", "foo bar2", "bar2 foo", "caf", "le foo_bar", '"le cafe', "le le"),
    ],
)
def test_it_finds_words_without_case_and_accents_and_any_part_of_a_chinese_sentence(alice: Client, q: str) -> None:
    assert {item["role"] for item in search(alice, q)} == {"user", "assistant"}, q
    assert all("<mark>" in item["snippet"] for item in search(alice, q))


@pytest.mark.parametrize(
    "q", ["编乐", "京庁", '"cafe le"', '"le de"', "cafe tea", "af", "ca", "ar2", "cafe NOT tea", "ca fe"]
)
def test_it_finds_nothing_that_is_not_there(alice: Client, q: str) -> None:
    assert search(alice, q) == []


def test_a_new_title_is_found_and_the_old_one_is_not(alice: Client, said: dict[str, str]) -> None:
    conversation = said["Orchids at home"]
    [item] = search(alice, "orchids")
    assert (item["conversation_id"], item["message_id"], item["role"]) == (conversation, None, None)
    assert (item["title"], item["snippet"]) == ("Orchids at home", "<mark>Orchids</mark> at home")
    assert alice.patch(f"/api/conversations/{conversation}", json={"title": "Tulips"}).status_code == 200
    poll(lambda: search(alice, "tulips"), what="new title")
    assert search(alice, "orchids") == []


def test_a_deleted_conversation_is_hidden_at_once_and_no_trace_of_purged_ones_stays(
    own_server: Server, alice: Client, said: dict[str, str]
) -> None:
    conversation, kept = said["walruses"], said["another"]
    before = own_server.db.count("conversations_searchdocument")
    assert alice.delete(f"/api/conversations/{conversation}").status_code == 204
    assert {item["conversation_id"] for item in search(alice, "walrus")} == {kept}
    assert search(alice, "walruses") == []
    id_ = conversation.replace("-", "") if own_server.db.url.startswith("sqlite") else conversation
    for table, column in (
        ("messageattempt", "message_id IN (SELECT id FROM conversations_message WHERE"),
        ("message", ""),
    ):
        own_server.db.query(
            f"DELETE FROM conversations_{table} WHERE {column} conversation_id = ?{')' * bool(column)}", id_
        )
    own_server.db.query("DELETE FROM conversations_conversation WHERE id = ?", id_)
    assert own_server.db.count("conversations_searchdocument") == before - 3
    if own_server.db.url.startswith("sqlite"):
        assert own_server.db.count("conversations_searchterms") == before - 3


def test_an_answer_that_another_has_replaced_is_hidden(own_server: Server, alice: Client) -> None:
    assert len(search(alice, "heron", role="assistant")) == 1
    own_server.db.query("UPDATE conversations_message SET superseded_by = id WHERE content = 'You said: heron'")
    assert [item["role"] for item in search(alice, "heron")] == ["user"]


def test_a_text_that_changes_after_its_end_is_indexed_anew(own_server: Server, alice: Client) -> None:
    own_server.db.query("UPDATE conversations_message SET content = 'A gannet.' WHERE content = 'You said: pelican'")
    poll(lambda: search(alice, "gannet"), what="new text")
    assert [item["role"] for item in search(alice, "pelican")] == ["user"]


def test_nobody_finds_what_is_somebody_elses(own_server: Server, alice: Client, said: dict[str, str]) -> None:
    bob = own_server.client("bob")
    assert len(search(alice, "badger")) == 2
    assert search(bob, "badger") == []
    assert search(bob, "badge") == []
    response = bob.get(PATH, params={"q": "badger", "conversation_id": said["mine"]})
    assert_problem(response, 404, "conversation_not_found")


def test_it_can_be_narrowed_to_a_side_and_a_conversation(alice: Client, said: dict[str, str]) -> None:
    one, two = said["lynx"], said["cats"]
    assert len(search(alice, "lynx")) == 5
    assert {item["role"] for item in search(alice, "lynx", role="user")} == {"user"}
    assert {item["conversation_id"] for item in search(alice, "lynx", conversation_id=two)} == {two}
    [item] = search(alice, "lynx", conversation_id=one, role="assistant")
    assert item["snippet"] == "You said: a <mark>lynx</mark>"
    assert_problem(
        alice.get(PATH, params={"q": "lynx", "conversation_id": str(uuid4())}), 404, "conversation_not_found"
    )


def test_the_better_match_comes_first(alice: Client) -> None:
    found = search(alice, "otter", role="user")
    assert found[0]["snippet"].startswith("<mark>otter</mark>, <mark>otter</mark>")
    assert found[0]["score"] > found[1]["score"]


def test_pages_hold_everything_once_whatever_comes_meanwhile(
    own_server: Server, alice: Client, said: dict[str, str]
) -> None:
    conversation = said["seas"]
    seen, cursor = [], {}
    while True:
        page = alice.get(PATH, params={"q": "puffin", "limit": 2, **cursor}).json()
        seen += [item["message_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        cursor = {"cursor": page["next_cursor"]}
        alice.say(conversation, "a new puffin")
        wait_indexed(own_server)
    messages = [message["id"] for message in alice.messages(conversation)]
    assert sorted(seen) == sorted(messages[:4])


@pytest.mark.parametrize("cursor", ["x", "AAAA", "!!!!", "ä", "A" * 16, "A" * 64])
def test_a_cursor_that_is_not_ours_is_refused(alice: Client, cursor: str) -> None:
    assert_problem(alice.get(PATH, params={"q": "puffin", "cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "a" * 201}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"q": "a", "limit": 0}, "limit"),
        ({"q": "a", "role": "tool"}, "role"),
        ({"q": "a", "conversation_id": "1"}, "conversation_id"),
    ],
)
def test_wrong_parameters_are_named(alice: Client, parameters: dict[str, str], field: str) -> None:
    assert_problem(alice.get(PATH, params=parameters), 422, "invalid_request", field)


# fmt: off
OPERATORS = [
    "AND", "OR", "NOT", "NEAR(a b, 5)", "terms : x", "facts:_u1", '"', "'", "''", "*", "a*", "^", "-", "+", "(", ")",
    ":*", "<->", "&", "|", "!", "\\", "%", "_", "{", ";",
]
# fmt: on
queries = st.lists(
    st.one_of(st.sampled_from(OPERATORS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    min_size=1,
).map(lambda parts: " ".join(parts)[:200] or " ")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(q=queries)
def test_no_text_is_an_error(alice: Client, q: str) -> None:
    for item in search(alice, q):
        assert not re.search(r"<(?!/?mark>)", item["snippet"])


@pytest.mark.parametrize("q", ["!?", "...", '""', "*", "😀", " ", "_"])
def test_nothing_to_search_for_finds_nothing(alice: Client, q: str) -> None:
    assert search(alice, q) == []


def test_an_answer_under_way_is_not_found_and_a_cancelled_one_is(own_server: Server, alice: Client) -> None:
    conversation = alice.conversation()["id"]
    with alice.stream(conversation, "a marmot", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        alice.wait_saved(conversation, "one two three ")
        poll(lambda: search(alice, "marmot", role="user"), what="question")
        assert search(alice, "three", conversation_id=conversation) == []
    poll(lambda: search(alice, "three", conversation_id=conversation), what="cancelled answer")
