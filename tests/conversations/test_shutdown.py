"""The server's end in the middle of turns: nothing is lost, and every caller is told."""

import signal
import time

import httpx2
import pytest

from tests.conftest import StartServer
from tests.fakes.answers import FLOOD
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll


def stored(server: Server) -> list[Json]:
    """The answers in the database of a server that has ended."""
    return server.db.query("SELECT * FROM conversations_message WHERE role = 'assistant' ORDER BY id")


def test_a_turn_that_ends_in_time_is_completed(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    with client.stream(client.conversation()["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        server.signal(signal.SIGTERM)
        poll(lambda: "Waiting for 1 connections" in server.log(), what="shutdown")
        provider.release()
        completed = list(stream)[-1]
    client.close()
    assert completed.name == "message.completed"
    assert completed.data["content"] == f"{PARTIAL}four"
    assert server.wait() == 0
    assert "Unclosed" not in server.log(), "the connections to the provider are closed, not dropped"
    [answer] = stored(server)
    assert (answer["status"], answer["content"]) == ("completed", f"{PARTIAL}four")


def test_a_turn_that_does_not_is_interrupted_and_its_readers_are_told(
    start_server: StartServer, provider: Provider
) -> None:
    server = start_server(GRACEFUL_TIMEOUT="4")
    client = server.client()
    conversation, other = client.conversation(), client.conversation()
    body = f'{{"message": "go", "conversation_id": "{other["id"]}", "model": "hang-mid-stream"}}'
    with (
        client.stream(conversation["id"], "go", model="hang-mid-stream") as stream,
        client.raw("POST /api/chat", body, Connection="close") as blocking,
    ):
        stream.next("message.created")
        stream.text("three ")
        provider.wait(2)
        server.signal(signal.SIGTERM)
        failed = list(stream)[-1]
        blocking.settimeout(10)
        answer = b"".join(iter(lambda: blocking.recv(65536), b"")).decode()
    client.close()
    assert (failed.name, failed.data["code"], failed.data["status"]) == ("message.failed", "interrupted", 503)
    assert answer.startswith("HTTP/1.1 503")
    assert '"code": "interrupted"' in answer
    assert server.wait() == 0
    for row in stored(server):
        assert (row["status"], row["error_code"]) == ("interrupted", "interrupted")
        assert (row["content"], row["lease_until"]) == (PARTIAL, None)
    assert len(stored(server)) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_impatient_end_stores_the_text_as_interrupted(
    start_server: StartServer, provider: Provider, number: signal.Signals
) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        server.signal(number)
        assert server.wait() == 0
    [answer] = stored(server)
    assert (answer["status"], answer["content"], answer["lease_until"]) == ("interrupted", PARTIAL, None)


def test_the_conversation_goes_on_after_the_restart(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        server.signal(signal.SIGINT)
        server.wait()
    server.start()
    client = server.client()
    answer = client.messages(conversation["id"])[-1]
    assert (answer["status"], answer["content"]) == ("interrupted", PARTIAL)
    assert client.say(conversation["id"], "hello").status_code == 200
    assert [message["content"] for message in provider.last.messages[1:]] == ["go", PARTIAL, "hello"]


def test_a_killed_worker_is_replaced_while_the_others_serve(start_server: StartServer, provider: Provider) -> None:
    server = start_server(WEB_CONCURRENCY="2")
    poll(lambda: server.log().count("ASGI server listening") == 2, what="two workers")
    client = server.client()
    conversation = client.conversation()
    with client.asking(conversation["id"], "go", model="hang-mid-stream"):
        client.wait_saved(conversation["id"], PARTIAL)
        before = set(server.workers())
        for pid in before:
            server.kill_worker(pid)
        poll(lambda: len(set(server.workers()) - before) == 2, what="two new workers")
        poll(lambda: server.log().count("ASGI server listening") == 4, what="two new workers")
    client = server.client()
    assert client.get("/health").status_code == 200
    assert_problem(client.say(conversation["id"], "too early"), 409, "turn_in_progress")


def test_an_idle_connection_does_not_hold_up_the_end(start_server: StartServer) -> None:
    server = start_server()
    client: Client = server.client()
    client.get("/health")
    server.signal(signal.SIGTERM)
    assert server.wait(12) == 0


def test_nothing_new_begins_from_then_on(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation, other = client.conversation()["id"], client.conversation()["id"]
    body = b'{"content": "hello"}'
    with (
        client.stream(conversation, "go", model="hang-mid-stream") as stream,
        client.raw(f"POST /api/conversations/{other}/messages", **{"Content-Length": str(len(body))}) as late,
        client.raw("GET /health") as idle,
    ):
        stream.next("message.created")
        stream.text("three ")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        server.signal(signal.SIGTERM)
        assert idle.recv(65536) == b"", "it is closed"
        with pytest.raises(httpx2.ConnectError):
            server.client().get("/health")
        late.sendall(body)
        refused = late.recv(65536).decode()
        assert refused.startswith("HTTP/1.1 503")
        assert "connection: close" in refused.lower()
        assert "retry-after: 1" in refused.lower()
        assert '"code": "interrupted"' in refused
        provider.release()
        assert list(stream)[-1].name == "message.completed"
    client.close()
    assert server.wait() == 0
    assert len(stored(server)) == 1


def test_a_reader_that_takes_nothing_holds_up_nobody(start_server: StartServer, provider: Provider) -> None:
    """The server can send it neither the rest nor the end, and must not be killed while it tries."""
    server = start_server(GRACEFUL_TIMEOUT="6")
    client = server.client()
    stalled, conversation = client.conversation()["id"], client.conversation()["id"]
    body = '{"content": "go", "stream": true, "model": "flood"}'
    with client.raw(f"POST /api/conversations/{stalled}/messages", body):
        saved = f"SELECT 1 FROM conversations_message WHERE length(content) = {FLOOD}"
        poll(lambda: server.db.query(saved), what="whole text")
        with client.stream(conversation, "go", model="hang-mid-stream") as stream:
            stream.next("message.created")
            stream.text("three ")
            started = time.monotonic()
            server.signal(signal.SIGTERM)
            failed = list(stream)[-1]
            told = time.monotonic() - started
        client.close()
        assert server.wait() == 0
        assert (failed.name, failed.data["code"]) == ("message.failed", "interrupted")
        assert told < 4.5, "half of GRACEFUL_TIMEOUT, and gunicorn's own second"
    assert [(row["status"], len(row["content"])) for row in stored(server)] == [
        ("interrupted", FLOOD),
        ("interrupted", len(PARTIAL)),
    ]
    assert "Worker exiting" in server.log(), "by itself: the end, where Sentry gets the rest, was not cut off"
