"""Detached turns: they outlive their readers, whoever comes later reads the same bytes, and all of them have an end."""

import json
import random
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.conftest import StartServer
from tests.conversations.test_durability import locked
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.database import is_sqlite
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

CUTS = 50
END = b"\n\n"


@pytest.fixture(scope="module")
def other_server(server: Server) -> Iterator[Server]:
    """Another server on the same database: another worker, or another node."""
    with server.neighbour() as other:
        yield other


def start(client: Client, conversation: str, **fields: object) -> tuple[httpx2.Response, Iterator[bytes]]:
    """A detached turn, and the pieces of its stream as they come."""
    body = {"content": "go", "stream": True, "detached": True, **fields}
    request = client.http.build_request("POST", f"/api/conversations/{conversation}/messages", json=body)
    response = client.http.send(request, stream=True)
    assert response.status_code == 200, response.read()
    return response, response.iter_raw()


def until(pieces: Iterator[bytes], wanted: bytes) -> bytes:
    read = b""
    while wanted not in read:
        read += next(pieces)
    return read


def message_of(events: bytes) -> Json:
    """The message in message.created."""
    return dict(json.loads(re.findall(rb"data: (.*)", events)[0]))


def path(message: Json) -> str:
    return f"/api/conversations/{message['conversation_id']}/messages/{message['id']}/events"


def follow(client: Client, message: Json, seen: int | None = None) -> httpx2.Response:
    """The events after `seen`, up to the end."""
    return client.get(path(message), headers={} if seen is None else {"Last-Event-ID": str(seen)})


def read_until(client: Client, message: Json, size: int) -> bytes:
    """The first events, of so many bytes or more; then the connection is cut."""
    with client.http.stream("GET", path(message)) as stream:
        pieces, got = stream.iter_raw(), b""
        while len(got) < size:
            got += next(pieces)
        return got


def without_pings(events: bytes) -> bytes:
    return events.replace(b": ping\n\n", b"")


def names(events: bytes) -> list[str]:
    return [name.decode() for name in re.findall(rb"event: message\.(.*)", events)]


def ids(events: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"^id: (\d+)", events, re.MULTILINE)]


def left(client: Client, provider: Provider, **fields: object) -> tuple[Json, bytes]:
    """The message of a turn that runs and whose reader has gone after PARTIAL, and what he has read."""
    conversation = client.conversation()["id"]
    response, pieces = start(client, conversation, **{"model": "hang-mid-stream", **fields})
    read = until(pieces, b"three ")
    response.close()
    return message_of(read), read


def test_a_turn_runs_on_without_its_reader_and_another_server_has_the_rest(
    client: Client, other_server: Server, provider: Provider
) -> None:
    message, read = left(client, provider)
    other = other_server.client()
    with ThreadPoolExecutor(2) as readers:
        whole = readers.submit(follow, other, message)
        rest = readers.submit(follow, client, message, ids(read)[-1])
        poll(lambda: client.messages(message["conversation_id"])[-1]["content"] == PARTIAL)
        assert not provider.last.hung_up.is_set()
        provider.release()
        assert rest.result(20).content == whole.result(20).content[len(read) :]
    events = whole.result().content
    assert events.startswith(read)
    assert (names(events)[0], names(events)[-1]) == ("created", "completed")
    assert ids(events) == list(range(len(ids(events))))
    stored = client.messages(message["conversation_id"])[-1]
    assert json.loads(re.findall(rb"data: (.*)", events)[-1]) == stored
    assert (stored["status"], stored["content"]) == ("completed", f"{PARTIAL}four")


def test_wherever_the_connection_is_cut_the_pieces_are_the_whole(
    client: Client, server: Server, other_server: Server, provider: Provider
) -> None:
    """One turn of 40 tokens in two seconds; each reader is cut off somewhere, at any byte, and goes on elsewhere."""
    chance = random.Random(50)
    response, pieces = start(client, client.conversation()["id"], model="slow")
    read = until(pieces, END)
    message = message_of(read)

    def reader(number: int) -> bytes:
        places = [server.client(), other_server.client()]
        cut = chance.randrange(1, 2_800)
        before = read_until(places[number % 2], message, cut)[:cut]
        before = before[: before.rfind(END) + 2 if END in before else 0]  # what is whole
        seen = ids(before)[-1] if before else None
        return without_pings(before + follow(places[1 - number % 2], message, seen).content)

    with ThreadPoolExecutor(CUTS) as crowd:
        readers = [crowd.submit(reader, number) for number in range(CUTS)]
        whole = without_pings(read + b"".join(pieces))
        response.close()
        assert names(whole) == ["created", *["delta"] * 40, "completed"]
        assert [done.result(30) == whole for done in readers] == [True] * CUTS
    key = message["id"].replace("-", "") if is_sqlite(server.db.url) else message["id"]
    rows = "SELECT * FROM conversations_eventbatch WHERE message_id = ? ORDER BY first"
    kept = server.db.query(rows, key)
    assert "".join(row["data"] for row in kept).encode() == whole
    assert 2 <= len(kept) <= 20, "not one for each of the 42 events"


def test_nothing_follows_the_last_event(client: Client) -> None:
    _, pieces = start(client, client.conversation()["id"], model="tokens-3")
    events = b"".join(pieces)
    message = message_of(events)
    assert follow(client, message).content == events
    assert follow(client, message, 3).content == events[events.index(b"event: message.completed") :]
    done = follow(client, message, 4)
    assert (done.status_code, done.content) == (204, b"")
    for seen in ("5", "-1", "x", "1.5", "99999999999"):
        assert_problem(client.get(path(message), headers={"Last-Event-ID": seen}), 422, "invalid_request")
        problem = assert_problem(client.get(path(message), params={"last_event_id": seen}), 422, "invalid_request")
        assert problem["errors"][0]["field"] == "last_event_id"
    problem = assert_problem(follow(client, message, 5), 422, "invalid_request", "Last-Event-ID")
    assert client.get(path(message), params={"last_event_id": 3}).content == follow(client, message, 3).content


def test_a_failure_is_the_last_event(client: Client) -> None:
    _, pieces = start(client, client.conversation()["id"], model="drop-mid-stream")
    events = b"".join(pieces)
    assert names(events)[-1] == "failed"
    assert follow(client, message_of(events)).content == events


def test_a_turn_that_is_cancelled_ends_for_all_readers(
    client: Client, other_server: Server, provider: Provider
) -> None:
    message, read = left(client, provider)
    other = other_server.client()
    with ThreadPoolExecutor(1) as readers:
        rest = readers.submit(follow, client, message, ids(read)[-1])
        answer = other.post(path(message).replace("events", "cancel"))
        assert answer.json()["status"] == "cancelled"
        events = rest.result(20).content
    assert names(events) == ["failed"]
    assert ids(events) == [ids(read)[-1] + 1]
    assert json.loads(events.split(b"data: ")[1])["code"] == "cancelled"
    assert follow(other, message).content == read + events


def test_without_it_there_are_no_events_to_read(client: Client, stranger: Client) -> None:
    *_, completed = client.events(client.conversation()["id"], "go")
    assert_problem(follow(client, completed.data), 404, "events_not_kept")
    assert_problem(follow(stranger, completed.data), 404, "message_not_found")
    blocking = client.say(client.conversation()["id"], "go", detached=True)
    assert_problem(blocking, 422, "invalid_request", "detached")


def test_others_do_not_read_them(client: Client, stranger: Client) -> None:
    _, pieces = start(client, client.conversation()["id"], model="tokens-3")
    assert_problem(follow(stranger, message_of(b"".join(pieces))), 404, "message_not_found")


def test_a_turn_whose_server_was_killed_ends_as_interrupted(start_server: StartServer, provider: Provider) -> None:
    doomed = start_server()
    with doomed.neighbour() as other:
        client = other.client()
        message, read = left(doomed.client(), provider)
        poll(lambda: doomed.db.count("conversations_eventbatch") >= 2, what="kept events")
        with ThreadPoolExecutor(1) as readers:
            rest = readers.submit(follow, client, message, ids(read)[-1])
            doomed.kill()
            doomed.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")
            events = rest.result(20).content
        assert names(events) == ["failed"]
        assert ids(events) == [ids(read)[-1] + 1]
        problem = json.loads(events.split(b"data: ")[1])
        assert (problem["code"], problem["status"], problem["message_id"]) == ("interrupted", 503, message["id"])
        assert follow(client, message).content == read + events


def test_a_shutdown_stores_the_last_event_though_nobody_reads(start_server: StartServer, provider: Provider) -> None:
    server = start_server(GRACEFUL_TIMEOUT="4")
    client = server.client()
    message, read = left(client, provider)
    client.close()
    assert server.terminate() == 0
    [row] = server.db.query("SELECT status, content FROM conversations_message WHERE role = 'assistant'")
    assert (row["status"], row["content"]) == ("interrupted", PARTIAL)
    server.start()
    events = follow(server.client(), message).content
    assert events.startswith(read)
    assert names(events)[-1] == "failed"
    assert json.loads(events.split(b"data: ")[-1])["code"] == "interrupted"


def test_a_shutdown_gives_it_the_time_that_turns_with_readers_have(
    start_server: StartServer, provider: Provider
) -> None:
    server = start_server(GRACEFUL_TIMEOUT="10")
    client = server.client()
    left(client, provider)
    client.close()
    server.signal(signal.SIGTERM)
    poll(lambda: "Worker shutting down" in server.log(), what="shutdown")
    provider.release()
    assert server.wait() == 0
    assert server.db.query("SELECT status FROM conversations_message WHERE role = 'assistant'")[0] == {
        "status": "completed"
    }


def test_a_database_that_is_away_costs_no_event(start_server: StartServer, provider: Provider) -> None:
    server = start_server(DATABASE_TIMEOUT="1")
    if not is_sqlite(server.db.url):
        pytest.skip("SQLite's lock")
    client = server.client()
    response, pieces = start(client, client.conversation()["id"], model="hang-mid-stream")
    with ThreadPoolExecutor(1) as readers:
        with locked(server):
            read = until(pieces, b"three ")
            follower = readers.submit(follow, client, message_of(read))
            provider.release()
            read += b"".join(pieces)
        response.close()
        assert json.loads(read.split(b"data: ")[-1])["code"] == "database_unavailable"
        assert follower.result(20).content == read
    assert follow(client, message_of(read)).content == read
