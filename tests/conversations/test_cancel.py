"""POST .../cancel ends a running turn, whatever worker or server runs it, and tells whoever waits for the answer."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json, Stream, assert_problem
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

A_MOMENT = 5.0
"""Seconds: a second on a machine with nothing else to do, and less than a lease."""


def path(conversation_id: str, message_id: str) -> str:
    return f"/api/conversations/{conversation_id}/messages/{message_id}/cancel"


def cancel(client: Client, message: Json) -> Json:
    """Cancels the turn of this answer, long before a lease runs out; the answer as it is then."""
    started = time.monotonic()
    response = client.post(path(message["conversation_id"], message["id"]))
    assert response.status_code == 200, response.text
    assert time.monotonic() - started < A_MOMENT
    return dict(response.json())


def begun(stream: Stream) -> Json:
    """The answer of a turn that has said PARTIAL."""
    created = stream.next("message.created")
    stream.text("three ")
    return created.data


def running(client: Client, conversation_id: str) -> Json:
    """The answer of a blocking turn that has said PARTIAL."""
    client.wait_saved(conversation_id, PARTIAL)
    return client.messages(conversation_id)[-1]


@pytest.fixture
def other_client(server: Server) -> Iterator[Client]:
    """Alice again, at another server on the same database: another worker, or another node."""
    with server.neighbour() as other:
        yield other.client("alice")


def test_it_ends_a_stream_and_tells_its_reader(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        message = begun(stream)
        answer = cancel(client, message)
        [failed] = list(stream)
    assert provider.last.hung_up.wait(A_MOMENT)
    assert (answer["status"], answer["content"], answer["error_code"]) == ("cancelled", PARTIAL, None)
    assert answer == client.messages(conversation["id"])[-1]
    assert (failed.name, failed.data["code"], failed.data["status"]) == ("message.failed", "cancelled", 409)
    assert failed.data["message_id"] == message["id"]


def test_it_ends_a_blocking_turn_and_tells_its_caller(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with ThreadPoolExecutor(1) as caller:
        said = caller.submit(client.say, conversation["id"], "go", model="hang-mid-stream")
        answer = cancel(client, running(client, conversation["id"]))
        assert_problem(said.result(10), 409, "cancelled")
    assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)


def test_it_ends_a_turn_before_its_first_token(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang") as stream:
        message = stream.next("message.created").data
        provider.wait()
        answer = cancel(client, message)
        assert list(stream)[-1].data["code"] == "cancelled"
    assert (answer["status"], answer["content"]) == ("cancelled", "")


def test_it_ends_a_turn_of_another_worker(client: Client, other_client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        answer = cancel(other_client, begun(stream))
        assert list(stream)[-1].data["code"] == "cancelled"
    assert provider.last.hung_up.wait(A_MOMENT)
    assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)


def test_it_ends_no_other_turn(client: Client, other_client: Client, provider: Provider) -> None:
    first, second = client.conversation(), client.conversation()
    with (
        client.stream(first["id"], "go", model="hang-mid-stream") as stream,
        client.stream(second["id"], "go", model="hang-mid-stream") as other,
    ):
        message = begun(stream)
        begun(other)
        cancel(other_client, message)
        assert client.messages(second["id"])[-1]["status"] == "streaming"
        provider.release()
        assert list(other)[-1].name == "message.completed"


def test_the_conversation_goes_on_with_what_there_is_of_the_answer(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        cancel(client, begun(stream))
    assert client.say(conversation["id"], "hello").status_code == 200
    assert [message["content"] for message in provider.last.messages[1:]] == ["go", PARTIAL, "hello"]


def test_many_at_once_are_as_good_as_one(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        message = begun(stream)
        with ThreadPoolExecutor(8) as crowd:
            answers = list(crowd.map(lambda _: cancel(client, message), range(8)))
    assert {answer["status"] for answer in answers} == {"cancelled"}


@pytest.mark.parametrize(("model", "status"), [("echo", "completed"), ("status-500", "failed")])
def test_an_answer_that_has_ended_stays_as_it_is(client: Client, model: str, status: str) -> None:
    conversation = client.conversation()
    client.say(conversation["id"], "hello", model=model)
    before = client.messages(conversation["id"])[-1]
    assert before["status"] == status
    assert cancel(client, before) == before == client.messages(conversation["id"])[-1]


def test_a_turn_whose_worker_has_died_ends_at_once(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with client.asking(conversation["id"], "go", model="hang-mid-stream"):
        message = running(client, conversation["id"])
        server.kill()
    server.start()
    client = server.client()
    waiting = client.post(path(conversation["id"], message["id"]))
    assert (waiting.status_code, waiting.json()["status"]) == (202, "streaming"), "its lease has not run out"
    server.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")
    answer = cancel(client, message)
    assert (answer["status"], answer["content"], answer["error_code"]) == ("interrupted", PARTIAL, "interrupted")


def test_it_needs_the_owner_and_an_answer(client: Client, stranger: Client, provider: Provider) -> None:
    conversation, empty = client.conversation(), client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        message = begun(stream)
        asked = client.messages(conversation["id"])[0]
        assert_problem(stranger.post(path(conversation["id"], message["id"])), 404, "message_not_found")
        assert_problem(client.post(path(empty["id"], message["id"])), 404, "message_not_found")
        assert_problem(client.post(path(conversation["id"], conversation["id"])), 404, "message_not_found")
        assert_problem(client.post(path(conversation["id"], asked["id"])), 422, "invalid_request", "message_id")
        assert client.messages(conversation["id"])[-1]["status"] == "streaming"
        provider.release()
        assert list(stream)[-1].name == "message.completed"


def test_deleting_the_conversation_ends_its_turn(client: Client, other_client: Client, provider: Provider) -> None:
    for deleter in (client, other_client):
        provider.clear()
        conversation = client.conversation()
        with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
            begun(stream)
            assert deleter.delete(f"/api/conversations/{conversation['id']}").status_code == 204
            assert provider.last.hung_up.wait(A_MOMENT)
            assert list(stream)[-1].data["code"] == "cancelled"


def test_it_is_no_event_and_no_failure_of_the_transaction(
    start_server: StartServer, ingest: Ingest, provider: Provider
) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn).client()
    streamed, blocking = client.conversation(), client.conversation()
    with client.stream(streamed["id"], "go", model="hang-mid-stream") as stream:
        cancel(client, begun(stream))
    with ThreadPoolExecutor(1) as caller:
        said = caller.submit(client.say, blocking["id"], "go", model="hang-mid-stream")
        cancel(client, running(client, blocking["id"]))
        assert_problem(said.result(10), 409, "cancelled")
    poll(lambda: len(outcomes(ingest)) == 2, what="two transactions")
    assert outcomes(ingest) == [("cancelled", "ok")] * 2
    assert fence(client, ingest) == []


def outcomes(ingest: Ingest) -> list[tuple[str, str]]:
    """How the turns ended, and their transactions."""
    turns = [turn for turn in ingest.items("transaction") if "chat.outcome" in turn.get("tags", {})]
    return [(turn["tags"]["chat.outcome"], turn["contexts"]["trace"]["status"]) for turn in turns]
