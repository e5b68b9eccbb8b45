"""Any request at any node, under load: what one has begun, the other goes on with, ends, or has the rest of."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chatproject.apikeys.issuing import add_key
from tests.conversations.test_detached import follow, ids, left, names
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll
from tests.nodes.audit import assert_nothing_lost
from tests.nodes.cluster import Cluster
from tests.nodes.load import Load


@pytest.fixture(scope="module")
def load(cluster: Cluster) -> Iterator[Load]:
    """Runs through all of these tests, and must not be hurt by them."""
    with Load(cluster.url, cluster.key) as running:
        running.go_on()
        yield running
    assert running.failures == []
    assert_nothing_lost(cluster.db, running.turns)


@pytest.fixture(autouse=True)
def _under_load(load: Load, provider: Provider) -> None:
    """Every test of this module."""


def test_a_conversation_goes_on_at_the_other_node(cluster: Cluster, provider: Provider) -> None:
    one, other = cluster.clients()
    conversation = one.conversation(title="both")["id"]
    assert one.say(conversation, "first").status_code == 200
    *_, completed = other.events(conversation, "second")
    assert [m["content"] for m in one.messages(conversation)] == [
        "first",
        "You said: first",
        "second",
        "You said: second",
    ]
    assert one.messages(conversation)[-1] == completed.data
    assert other.patch(f"/api/conversations/{conversation}", json={"title": "other"}).status_code == 200
    assert one.read(conversation)["title"] == "other"
    [asked] = [chat for chat in provider.chats if chat.messages[-1]["content"] == "second"]
    assert [message["content"] for message in asked.messages[1:]] == ["first", "You said: first", "second"]


def test_one_conversation_has_one_turn_wherever_it_runs(cluster: Cluster, provider: Provider) -> None:
    one, other = cluster.clients()
    conversation = one.conversation()["id"]
    with one.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        assert other.say(conversation, "too early").status_code == 409


def test_the_other_node_cancels(cluster: Cluster, provider: Provider) -> None:
    one, other = cluster.clients()
    conversation = one.conversation()["id"]
    with one.stream(conversation, "go", model="hang-mid-stream") as stream:
        answer = stream.next("message.created").data
        stream.text("three ")
        cancelled = other.post(f"/api/conversations/{conversation}/messages/{answer['id']}/cancel")
        [failed] = list(stream)
    assert failed.data["code"] == "cancelled"
    assert cancelled.status_code == 200
    poll(lambda: other.messages(conversation)[-1]["status"] == "cancelled", what="end")
    assert other.messages(conversation)[-1]["content"] == PARTIAL


def test_the_other_node_has_the_rest_of_a_stream(cluster: Cluster, provider: Provider) -> None:
    one, other = cluster.clients()
    message, read = left(one, provider)
    with ThreadPoolExecutor(1) as readers:
        rest = readers.submit(follow, other, message, ids(read)[-1])
        provider.release()
        events = read + rest.result(20).content
    assert ids(events) == list(range(len(ids(events))))
    assert names(events)[-1] == "completed"
    assert follow(one, message).content == events


def test_what_is_sent_to_both_nodes_is_done_once(cluster: Cluster, provider: Provider) -> None:
    one, other = cluster.clients()
    conversation = one.conversation()["id"]

    def say(client: Client) -> int:
        url = f"/api/conversations/{conversation}/messages"
        return client.post(url, json={"content": "once"}, headers={"Idempotency-Key": conversation}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(say, [one, other] * 3))
    assert 200 in statuses
    assert set(statuses) <= {200, 409}
    assert (say(one), say(other)) == (200, 200)
    assert [message["content"] for message in other.messages(conversation)] == ["once", "You said: once"]
    assert [chat.messages[-1]["content"] for chat in provider.chats].count("once") == 1


def test_a_key_that_is_revoked_at_one_node_is_refused_at_both(cluster: Cluster) -> None:
    key = add_key(cluster.db)
    clients = cluster.clients(key)
    assert [client.get("/api/conversations").status_code for client in clients] == [200, 200]
    cluster.db.query("UPDATE apikeys_apikey SET revoked_at = CURRENT_TIMESTAMP WHERE prefix = ?", key.split("_")[1])
    for client in clients * 2:  # and at both workers, as far as that shows
        poll(lambda client=client: client.get("/api/conversations").status_code == 401, what="refusal")
