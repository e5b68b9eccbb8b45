"""Idempotency-Key: a request that is sent again gets the first one's result, and nobody pays twice."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

Header = dict[str, str]


@pytest.fixture(scope="module")
def other_server(server: Server) -> Iterator[Server]:
    """Another server on the same database: another worker, or another node."""
    with server.neighbour() as other:
        yield other


def new_key() -> Header:
    return {"Idempotency-Key": f"key-{secrets.token_hex(8)}"}


def say(client: Client, conversation: str, key: Header, content: str = "hi", **fields: object) -> httpx2.Response:
    headers = {"Content-Type": "application/json", **key}
    body = json.dumps({"content": content, **fields})  # as it would be sent by hand: the bytes count
    return client.post(f"/api/conversations/{conversation}/messages", content=body, headers=headers)


def is_replay(response: httpx2.Response, first: httpx2.Response) -> None:
    assert (response.status_code, response.content) == (first.status_code, first.content)
    assert response.headers["Content-Type"] == first.headers["Content-Type"]
    assert response.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers


# Results


def test_a_turn_that_is_sent_again_is_not_run_again(client: Client, other_server: Server, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    first = say(client, conversation, key)
    assert first.status_code == 200
    assert first.json() == client.messages(conversation)[-1]
    is_replay(say(client, conversation, key), first)
    is_replay(say(other_server.client(), conversation, key), first)
    assert len(provider.chats) == 1
    assert len(client.messages(conversation)) == 2


def test_other_posts_are_carried_out_once(client: Client) -> None:
    title, key = f"title {secrets.token_hex(8)}", new_key()
    first, second = (client.post("/api/conversations", json={"title": title}, headers=key) for _ in range(2))
    assert first.status_code == 201
    is_replay(second, first)
    key = new_key()
    answer = client.say(first.json()["id"], "hi").json()
    path = f"/api/conversations/{answer['conversation_id']}/messages/{answer['id']}/feedback"
    given, again = (client.post(path, json={"rating": "up"}, headers=key) for _ in range(2))
    assert given.status_code == 201
    is_replay(again, given)


def test_a_failed_turn_is_a_result_too(client: Client, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    first = say(client, conversation, key, model="status-500")
    assert_problem(first, 502, "server_error")
    is_replay(say(client, conversation, key, model="status-500"), first)
    assert len(provider.chats) == 1


def test_a_stream_is_replayed_to_the_byte(client: Client, other_server: Server, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    first = say(client, conversation, key, model="tokens-30", stream=True)
    assert first.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    is_replay(say(other_server.client(), conversation, key, model="tokens-30", stream=True), first)
    assert len(provider.chats) == 1


def test_a_stream_that_runs_is_followed(client: Client, other_server: Server, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    body = {"content": "hi", "stream": True, "model": "hang-mid-stream"}
    path, headers = f"/api/conversations/{conversation}/messages", {"Content-Type": "application/json", **key}
    with ThreadPoolExecutor(1) as pool:
        with client.http.stream("POST", path, content=json.dumps(body), headers=headers) as stream:
            pieces = stream.iter_raw()
            read = next(pieces)
            while b"three " not in read:
                read += next(pieces)
        retry = pool.submit(say, other_server.client(), conversation, key, **body)
        client.wait_saved(conversation, PARTIAL)
        assert not provider.last.hung_up.is_set(), "the turn goes on"
        provider.release()
        response = retry.result(20)
    assert response.content.startswith(read)
    assert b"event: message.completed" in response.content
    assert len(provider.chats) == 1


def test_a_stream_whose_events_are_gone_is_told_anew(client: Client, server: Server) -> None:
    conversation, key = client.conversation()["id"], new_key()
    first = say(client, conversation, key, model="tokens-30", stream=True)
    *_, completed = first.content.split(b"data: ")
    server.db.query("DELETE FROM conversations_eventbatch")
    again = say(client, conversation, key, model="tokens-30", stream=True)
    assert again.headers["Idempotency-Replayed"] == "true"
    events = again.content.split(b"\n\n")[:-1]
    assert [event.split(b"\n")[0] for event in events] == [
        b"event: message.created",
        b"event: message.delta",
        b"event: message.completed",
    ]
    datas = [json.loads(event.split(b"data: ")[1]) for event in events]
    created = json.loads(first.content.split(b"data: ")[1].split(b"\n\n")[0])
    assert datas[0] == created | {"model": "tokens-30-2026"}, "which the provider has told only later"
    assert datas[1] == {"delta": datas[2]["content"]}
    assert datas[2] == json.loads(completed)
    message = datas[2]
    gone = client.get(f"/api/conversations/{conversation}/messages/{message['id']}/events")
    assert_problem(gone, 410, "events_gone")


def test_a_client_that_leaves_a_blocking_turn_gets_its_answer_later(
    client: Client, other_server: Server, provider: Provider
) -> None:
    conversation, key = client.conversation()["id"], new_key()
    body = {"content": "hi", "model": "hang-mid-stream"}
    with client.raw(f"POST /api/conversations/{conversation}/messages", json.dumps(body), **key):
        client.wait_saved(conversation, PARTIAL)
    other = other_server.client()
    early = say(other, conversation, key, **body)
    assert_problem(early, 409, "idempotency_in_progress")
    assert early.headers["Retry-After"] == "1"
    assert not provider.last.hung_up.is_set()
    provider.release()
    response = poll(lambda: (r := say(other, conversation, key, **body)).status_code != 409 and r)
    assert response.status_code == 200
    assert response.headers["Idempotency-Replayed"] == "true"
    assert response.json() == client.messages(conversation)[-1]
    assert response.json()["content"] == f"{PARTIAL}four"
    assert len(provider.chats) == 1


def test_a_turn_that_was_cancelled_stays_so(client: Client, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(say, client, conversation, key, model="hang-mid-stream")
        client.wait_saved(conversation, PARTIAL)
        answer = client.messages(conversation)[-1]
        client.post(f"/api/conversations/{conversation}/messages/{answer['id']}/cancel")
        first = asking.result(20)
    assert_problem(first, 409, "cancelled")
    is_replay(say(client, conversation, key, model="hang-mid-stream"), first)


# Refusals


def test_another_request_with_the_same_key_is_refused(client: Client, provider: Provider) -> None:
    conversation, other, key = client.conversation()["id"], client.conversation()["id"], new_key()
    say(client, conversation, key)
    assert_problem(say(client, conversation, key, "something else"), 422, "idempotency_key_reused")
    assert_problem(say(client, other, key), 422, "idempotency_key_reused")
    assert len(provider.chats) == 1


def test_a_key_is_its_users_own(server: Server, client: Client, stranger: Client) -> None:
    key, body = new_key(), {"message": "hi"}
    first = client.post("/api/chat", json=body, headers=key)
    assert_problem(server.client(None).post("/api/chat", json=body, headers=key), 401, "not_authenticated")
    other = stranger.post("/api/chat", json=body, headers=key)
    assert "Idempotency-Replayed" not in other.headers
    assert other.json()["conversation_id"] != first.json()["conversation_id"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel", "a\tb"])
def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    header = {b"Idempotency-Key": key.encode()}
    response = client.post("/api/conversations", json={}, headers=header)
    assert_problem(response, 422, "invalid_request", "Idempotency-Key")


@pytest.mark.parametrize("key", ["!", "~" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_any_visible_ascii_is_a_key(client: Client, key: str) -> None:
    assert client.post("/api/conversations", json={}, headers={"Idempotency-Key": key}).status_code == 201


def test_what_never_began_may_be_sent_again(client: Client, server: Server, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    with client.raw(f"POST /api/conversations/{conversation}/messages", '{"content": "first", "model": "hang"}'):
        provider.wait()
        assert_problem(say(client, conversation, key), 409, "turn_in_progress")
        provider.release()
        poll(lambda: client.messages(conversation)[-1]["status"] == "completed")
    assert say(client, conversation, key).status_code == 200
    unknown, key = "01a20d3d-1df6-76fb-b6fa-0a88fa10974e", new_key()
    for _ in range(2):
        assert_problem(say(client, unknown, key), 404, "conversation_not_found")
        assert_problem(say(client, conversation, key, provider="nobody"), 400, "unknown_provider")
        assert_problem(say(client, conversation, key, ""), 422, "invalid_request")
    assert say(client, conversation, key).status_code == 200


# Races and deaths


def test_of_many_at_the_same_moment_one_is_carried_out(
    client: Client, server: Server, other_server: Server, provider: Provider
) -> None:
    conversation, key = client.conversation()["id"], new_key()
    clients = [place.client() for place in (server, other_server) for _ in range(6)]
    with ThreadPoolExecutor(12) as crowd:
        answers = [crowd.submit(say, each, conversation, key, model="hang") for each in clients]
        poll(lambda: sum(answer.done() for answer in answers) == 11, what="eleven refusals")
        provider.release()
        assert Counter(answer.result(20).status_code for answer in answers) == {200: 1, 409: 11}
    codes = {answer.result().json().get("code") for answer in answers}
    assert codes == {None, "idempotency_in_progress"}
    assert len(provider.chats) == 1


def test_a_turn_whose_server_was_killed_is_not_run_again(start_server: StartServer, provider: Provider) -> None:
    doomed, keys = start_server(), (new_key(), new_key())
    bodies = [{"content": "hi", "model": "hang-mid-stream", "stream": streamed} for streamed in (False, True)]
    with doomed.neighbour() as other:
        client = other.client()
        conversations = [client.conversation()["id"] for _ in bodies]
        for conversation, body, key in zip(conversations, bodies, keys, strict=True):
            with doomed.client().raw(f"POST /api/conversations/{conversation}/messages", json.dumps(body), **key):
                client.wait_saved(conversation, PARTIAL)
        doomed.kill()
        assert_problem(say(client, conversations[0], keys[0], **bodies[0]), 409, "idempotency_in_progress")
        doomed.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")
        doomed.db.query("UPDATE conversations_idempotentrequest SET lease_until = created_at")
        poll(lambda: all(client.messages(c)[-1]["status"] == "interrupted" for c in conversations), what="sweep")
        blocking, stream = map(lambda c, k, b: say(client, c, k, **b), conversations, keys, bodies)
        assert blocking.headers["Idempotency-Replayed"] == stream.headers["Idempotency-Replayed"] == "true"
        problem = assert_problem(blocking, 503, "interrupted")
        assert problem["message_id"] == client.messages(conversations[0])[-1]["id"]
        assert stream.content.count(b"event: message.failed") == 1
        assert b'"code": "interrupted"' in stream.content
        assert [len(client.messages(c)) for c in conversations] == [2, 2]
    assert len(provider.chats) == 2


def test_a_result_that_its_server_could_not_keep_is_told_from_the_message(client: Client, server: Server) -> None:
    """As after a kill between the end of the turn and the keeping of its result."""
    conversation, key = client.conversation()["id"], new_key()
    first = say(client, conversation, key)
    nothing = "status = NULL, body = '', headers = '{}', lease_until = created_at"
    server.db.query(f"UPDATE conversations_idempotentrequest SET {nothing} WHERE key = ?", key["Idempotency-Key"])
    is_replay(say(client, conversation, key), first)


def test_a_request_whose_server_died_before_it_did_anything_is_carried_out(client: Client, server: Server) -> None:
    key = new_key()
    client.post("/api/conversations", json={}, headers=key)
    table, name = "conversations_idempotentrequest", key["Idempotency-Key"]
    server.db.query(f"UPDATE {table} SET status = NULL, body = '' WHERE key = ?", name)
    early = client.post("/api/conversations", json={}, headers=key)
    assert_problem(early, 409, "idempotency_in_progress")
    server.db.query(f"UPDATE {table} SET lease_until = created_at WHERE key = ?", name)
    late = client.post("/api/conversations", json={}, headers=key)
    assert late.status_code == 201
    assert "Idempotency-Replayed" not in late.headers


def test_a_result_too_large_to_keep_is_told_from_the_message(
    client: Client, server: Server, provider: Provider
) -> None:
    conversation, key = client.conversation()["id"], new_key()
    provider.release()
    first = say(client, conversation, key, model="flood")
    assert len(first.content) > 6_000_000
    is_replay(say(client, conversation, key, model="flood"), first)
    [row] = server.db.query("SELECT body FROM conversations_idempotentrequest WHERE key = ?", key["Idempotency-Key"])
    assert row["body"] == ""


def test_a_key_is_free_again_after_a_day(client: Client, server: Server, provider: Provider) -> None:
    conversation, key = client.conversation()["id"], new_key()
    say(client, conversation, key)
    server.db.query(
        "UPDATE conversations_idempotentrequest SET created_at = ? WHERE key = ?",
        "2026-01-01 00:00:00+00:00",
        key["Idempotency-Key"],
    )
    assert say(client, conversation, key, "something else").status_code == 200
    assert len(provider.chats) == 2


# OpenAI's endpoint


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"store": True}], ids=["blocking", "streamed", "stored"])
def test_a_completion_is_made_once(client: Client, provider: Provider, fields: Header) -> None:
    key, body = new_key(), {"model": "fake/tokens-5", "messages": [{"role": "user", "content": "hi"}], **fields}
    first = client.post("/v1/chat/completions", json=body, headers=key)
    assert first.status_code == 200, first.text
    is_replay(client.post("/v1/chat/completions", json=body, headers=key), first)
    assert client.post("/v1/chat/completions", json=body | {"n": 1}, headers=key).status_code in {400, 422}
    assert len(provider.chats) == 1


def test_a_streamed_completion_whose_reader_leaves_is_there_for_the_retry(
    client: Client, server: Server, provider: Provider
) -> None:
    key, path = new_key(), "/v1/chat/completions"
    body = {"model": "fake/hang-mid-stream", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with client.http.stream("POST", path, json=body, headers=key) as stream:
        read = next(stream.iter_raw())
    other = server.client()
    assert other.post(path, json=body, headers=key).status_code == 409
    assert not provider.last.hung_up.is_set()
    provider.release()
    response = poll(lambda: (r := other.post(path, json=body, headers=key)).status_code != 409 and r)
    assert response.headers["Idempotency-Replayed"] == "true"
    assert response.content.startswith(read)
    assert response.content.endswith(b"data: [DONE]\n\n")
    assert len(provider.chats) == 1


def test_a_kept_404_is_the_same_404_again(client: Client, provider: Provider) -> None:
    body = {"model": "fake/status-404-model", "messages": [{"role": "user", "content": "hello"}]}
    first, again = (
        client.post("/v1/chat/completions", json=body, headers={"Idempotency-Key": "not-there"}) for _ in range(2)
    )
    assert first.status_code == again.status_code == 404
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
