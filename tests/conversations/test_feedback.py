"""What users say of the answers: stored, replaced, refused, and told to Sentry."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

NOWHERE = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"
PUBLIC = "https://chat.example.com"


@pytest.fixture
def answer(client: Client, provider: Provider) -> Json:
    """A completed answer of Alice's."""
    return turn(client)


def turn(client: Client, **fields: Any) -> Json:
    """A turn's answer, whatever became of it."""
    conversation = client.conversation()
    client.say(conversation["id"], "hello", **fields)
    return client.messages(conversation["id"])[-1]


def path(message: Json, **other: str) -> str:
    ids = {**message, **other}
    return f"/api/conversations/{ids['conversation_id']}/messages/{ids['id']}/feedback"


def rate(client: Client, message: Json, rating: Any = "up", **fields: Any) -> httpx2.Response:
    return client.post(path(message), json={"rating": rating, **fields})


def stored(server: Server, message: Json) -> list[tuple[str, str]]:
    """(rating, comment) of all the feedback on this message; the database says the id in its own way."""
    rows = server.db.query("SELECT message_id, rating, comment FROM conversations_feedback")
    wanted = message["id"].replace("-", "")
    return [(row["rating"], row["comment"]) for row in rows if str(row["message_id"]).replace("-", "") == wanted]


def sent(ingest: Ingest, message: Json) -> list[Json]:
    """What Sentry has received so far as feedback on this message."""
    return [item for item in ingest.items("feedback") if item["tags"]["message_id"] == message["id"]]


def settle(client: Client, ingest: Ingest) -> None:
    """Waits until all that was sent before has arrived: the SDK sends in order."""
    event_id = client.get("/sentry-debug").json()["sentry_event_id"]
    poll(lambda: event_id in [event["event_id"] for event in ingest.items("event")], what="event on purpose")


# --- what is stored


def test_it_stores_a_rating_and_a_comment(client: Client, server: Server, answer: Json) -> None:
    response = rate(client, answer, "down", comment="Not\n what I asked: 🌍")
    assert response.status_code == 201, response.text
    given = response.json()
    assert given.pop("created_at") <= given.pop("updated_at")
    assert given == {
        "conversation_id": answer["conversation_id"],
        "message_id": answer["id"],
        "rating": "down",
        "comment": "Not\n what I asked: 🌍",
    }
    assert stored(server, answer) == [("down", "Not\n what I asked: 🌍")]


def test_what_is_said_later_replaces_what_was_said_before(client: Client, server: Server, answer: Json) -> None:
    first = rate(client, answer, "down", comment="Wrong.").json()
    response = rate(client, answer, "up")
    assert response.status_code == 200, response.text
    second = response.json()
    assert (second["rating"], second["comment"]) == ("up", None)
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]
    assert stored(server, answer) == [("up", "")]


def test_ten_at_once_are_one(client: Client, server: Server, answer: Json) -> None:
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda _: rate(client, answer, "up").status_code, range(10)))
    assert sorted(responses) == [200] * 9 + [201]
    assert stored(server, answer) == [("up", "")]


def test_it_is_no_part_of_the_message(client: Client, answer: Json) -> None:
    rate(client, answer, "down", comment="Wrong.")
    assert client.messages(answer["conversation_id"])[-1] == answer


@pytest.mark.parametrize("model", ["status-500", "drop-mid-stream"])
def test_a_failed_answer_can_be_rated_too(client: Client, provider: Provider, model: str) -> None:
    failed = turn(client, model=model)
    assert failed["status"] == "failed"
    assert rate(client, failed, "down").status_code == 201


def test_it_goes_when_its_conversation_goes(client: Client, server: Server, answer: Json) -> None:
    rate(client, answer)
    path = f"/api/conversations/{answer['conversation_id']}"
    assert client.delete(path, params={"permanent": True}).status_code == 204
    assert stored(server, answer) == []


# --- what is refused


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "rating"),
        ({"rating": "sideways"}, "rating"),
        ({"rating": None}, "rating"),
        ({"rating": "up", "comment": "x" * 2001}, "comment"),
        ({"rating": "up", "comment": "a\x00b"}, "comment"),
        ({"rating": "up", "comment": 5}, "comment"),
        ({"rating": "up", "coment": "x"}, "coment"),
    ],
)
def test_it_refuses_a_body_that_does_not_fit(
    client: Client, server: Server, answer: Json, body: Json, field: str
) -> None:
    assert_problem(client.post(path(answer), json=body), 422, "invalid_request", field)
    assert stored(server, answer) == []


def test_the_longest_comment_is_taken(client: Client, server: Server, answer: Json) -> None:
    assert rate(client, answer, comment="ä" * 2000).status_code == 201
    assert stored(server, answer) == [("up", "ä" * 2000)]


def test_a_message_that_is_not_there_is_not_found(client: Client, answer: Json) -> None:
    elsewhere = client.conversation()["id"]
    for wrong in ({"id": NOWHERE}, {"conversation_id": NOWHERE}, {"conversation_id": elsewhere}):
        response = client.post(path(answer, **wrong), json={"rating": "up"})
        assert_problem(response, 404, "message_not_found")


def test_somebody_elses_message_is_not_found(client: Client, stranger: Client, server: Server, answer: Json) -> None:
    assert_problem(rate(stranger, answer), 404, "message_not_found")
    assert stored(server, answer) == []


def test_it_needs_a_key(server: Server, answer: Json) -> None:
    assert_problem(rate(server.client(None), answer), 401, "not_authenticated")


def test_only_an_answer_can_be_rated(client: Client, server: Server, answer: Json) -> None:
    asked = client.messages(answer["conversation_id"])[0]
    assert asked["role"] == "user"
    assert_problem(rate(client, asked), 422, "invalid_request", "message_id")
    assert stored(server, asked) == []


def test_an_answer_that_still_comes_cannot_be_rated_yet(client: Client, server: Server, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        message = stream.next("message.created").data
        response = rate(client, message)
        assert_problem(response, 409, "turn_in_progress")
        assert response.headers["Retry-After"] == "1"
        provider.release()
        list(stream)
    assert rate(client, message).status_code == 201


def test_an_answer_whose_worker_died_can_be_rated(client: Client, server: Server, answer: Json) -> None:
    """It stays `streaming`, with a lease that has run out, until the conversation's next turn."""
    other = turn(client)
    for message, lease in ((answer, "2001-01-01 00:00:00"), (other, "2999-01-01 00:00:00")):
        server.db.query(
            "UPDATE conversations_message SET status = 'streaming', lease_until = ? WHERE request_id = ? AND role = ?",
            lease,
            message["request_id"],
            "assistant",
        )
    assert rate(client, answer).status_code == 201
    assert_problem(rate(client, other), 409, "turn_in_progress")


# --- what Sentry hears


def test_feedback_on_a_failed_answer_is_tied_to_its_event_and_trace(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_RELEASE="1.2.3", PUBLIC_URL=f"{PUBLIC}/")
    server.db.query("UPDATE auth_user SET email = 'alice@example.com' WHERE username = 'alice'")
    client = server.client()
    failed = turn(client, model="status-500")
    assert rate(client, failed, "down", comment="It broke.").status_code == 201
    [feedback] = ingest.wait("feedback")
    said, trace = feedback["contexts"]["feedback"], feedback["contexts"]["trace"]
    [event] = ingest.wait("event")
    assert said == {
        "message": "It broke.",
        "associated_event_id": event["event_id"],
        "url": f"{PUBLIC}/admin/conversations/conversation/{failed['conversation_id']}/change/",
        "source": "api",
        "name": "alice",
        "contact_email": "alice@example.com",
    }
    assert trace["trace_id"] == event["contexts"]["trace"]["trace_id"] == failed["trace_id"]
    assert feedback["user"]["username"] == "alice"
    assert (feedback["environment"], feedback["release"]) == ("development", "1.2.3")
    expected = {"rating": "down", "provider": "fake", "model": "status-500", "chat.outcome": "failed"}
    assert feedback["tags"].items() >= expected.items()
    assert feedback["tags"]["conversation_id"] == failed["conversation_id"]


def test_feedback_on_an_answer_without_an_event_is_tied_to_its_trace(
    client: Client, server_ingest: Ingest, answer: Json
) -> None:
    fence(client, server_ingest)
    assert rate(client, answer, "up").status_code == 201
    [feedback] = server_ingest.wait("feedback")
    assert feedback["contexts"]["trace"]["trace_id"] == answer["trace_id"]
    said = feedback["contexts"]["feedback"]
    assert said["message"] == "Rated up, without a comment."  # Sentry drops an empty one
    assert not said.keys() & {"associated_event_id", "url"}
    assert fence(client, server_ingest) == []


def test_without_pii_it_names_nobody(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn, SENTRY_SEND_DEFAULT_PII="false")
    server.db.query("UPDATE auth_user SET email = 'alice@example.com' WHERE username = 'alice'")
    client = server.client()
    rate(client, turn(client), "down", comment="Wrong.")
    [feedback] = ingest.wait("feedback")
    assert feedback["contexts"]["feedback"]["message"] == "Wrong."
    assert not feedback["contexts"]["feedback"].keys() & {"name", "contact_email"}
    assert "user" not in feedback
    assert b"alice" not in b"".join(ingest.raw)


def test_what_is_said_again_is_sent_once(client: Client, server_ingest: Ingest, answer: Json) -> None:
    for rating, comment in (("down", "Wrong."), ("down", "Wrong."), ("down", "Still wrong."), ("up", "Still wrong.")):
        rate(client, answer, rating, comment=comment)
    settle(client, server_ingest)
    told = [(item["tags"]["rating"], item["contexts"]["feedback"]["message"]) for item in sent(server_ingest, answer)]
    assert told == [("down", "Wrong."), ("down", "Still wrong."), ("up", "Still wrong.")]


def test_a_user_who_cannot_decide_does_not_flood_sentry(client: Client, server_ingest: Ingest, answer: Json) -> None:
    for number in range(30):
        rate(client, answer, comment=str(number))
    settle(client, server_ingest)
    assert 1 <= len(sent(server_ingest, answer)) < 20


def test_it_can_be_kept_from_sentry(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn, SENTRY_SEND_FEEDBACK="false").client()
    assert rate(client, turn(client), comment="For your eyes only.").status_code == 201
    settle(client, ingest)
    assert ingest.items("feedback") == []
    assert b"For your eyes only." not in b"".join(ingest.raw)


def test_without_sentry_it_is_stored_all_the_same(start_server: StartServer) -> None:
    server = start_server()
    client = server.client()
    message = turn(client)
    assert rate(client, message, comment="Fine.").status_code == 201
    assert stored(server, message) == [("up", "Fine.")]


@pytest.mark.parametrize("trouble", ["refuses", "hangs", "gone"])
def test_a_sentry_in_trouble_fails_no_feedback(start_server: StartServer, ingest: Ingest, trouble: str) -> None:
    if trouble == "refuses":
        ingest.answer(500)
    elif trouble == "hangs":
        ingest.hang()
    dsn = ingest.dsn if trouble != "gone" else "http://key@127.0.0.1:1/1"
    server = start_server(SENTRY_DSN=dsn)
    client = server.client()
    message = turn(client)
    assert rate(client, message, comment="Fine.").status_code == 201
    assert stored(server, message) == [("up", "Fine.")]


# --- from Sentry to the conversation


@pytest.mark.parametrize("url", ["", PUBLIC])
def test_every_event_and_transaction_of_a_turn_leads_to_its_conversation(
    start_server: StartServer, ingest: Ingest, url: str
) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn, PUBLIC_URL=url).client()
    failed = turn(client, model="status-500")
    expected = {"id": failed["conversation_id"], "message_id": failed["id"]}
    if url:
        expected["admin_url"] = f"{PUBLIC}/admin/conversations/conversation/{failed['conversation_id']}/change/"
    [event] = ingest.wait("event")
    assert told_of_conversation(event) == expected
    turns = [item for item in ingest.wait("transaction", 2) if item["tags"].get("request_id") == failed["request_id"]]
    assert [told_of_conversation(item) for item in turns] == [expected]


def told_of_conversation(item: Json) -> Json:
    """The context without the `type` that the SDK may add."""
    return {key: value for key, value in item["contexts"]["conversation"].items() if key != "type"}
