"""GET /metrics: how many turns a server has under way."""

import re
from contextlib import ExitStack

import httpx2

from tests.chatproject.apikeys.issuing import add_key
from tests.conftest import StartServer
from tests.fakes.client import Client, Stream, assert_problem
from tests.fakes.ingest import Ingest
from tests.fakes.server import Server
from tests.fakes.waiting import poll


def turns(client: Client) -> int:
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    *comments, sample = response.text.splitlines()
    assert [line.split()[1:3] for line in comments] == [["HELP", "chat_live_turns"], ["TYPE", "chat_live_turns"]]
    found = re.fullmatch(r"chat_live_turns (\d+)", sample)
    assert found, sample
    return int(found[1])


def hang(stack: ExitStack, server: Server, count: int) -> list[Stream]:
    """Streams that do not end by themselves, each on a connection of its own; one that is let go of is left."""
    streams = []
    for _ in range(count):
        client = server.client()
        stream = client.stream(client.conversation()["id"], "go", model="hang-mid-stream")
        streams.append(stack.enter_context(stream))
        streams[-1].next("message.created")
        streams[-1].text("three ")
    return streams


def test_the_turns_of_all_workers_are_counted_as_they_come_and_go(start_server: StartServer) -> None:
    server = start_server(WEB_CONCURRENCY="3")
    client = server.client()
    assert turns(client) == 0
    with ExitStack() as stack:
        streams = hang(stack, server, 7)
        assert {turns(server.client()) for _ in range(10)} == {7}, "every worker has the same answer"
        del streams
    poll(lambda: turns(client) == 0, what="end of the turns")


def test_a_turn_that_is_not_stored_counts_as_well(start_server: StartServer) -> None:
    server = start_server()
    body = {"model": "hang-mid-stream", "messages": [{"role": "user", "content": "go"}], "stream": True}
    with server.client().http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        other = server.client()
        poll(lambda: turns(other) == 1, what="turn")


def test_the_turns_of_a_killed_worker_are_counted_no_longer(start_server: StartServer) -> None:
    server = start_server(WEB_CONCURRENCY="2")
    with ExitStack() as stack:
        streams = hang(stack, server, 8)
        assert turns(server.client()) == 8
        for pid in server.workers():
            server.kill_worker(pid)
        poll(lambda: alive(server) == 0, 20, "new worker that counts none of them")
        del streams


def alive(server: Server) -> int | None:
    """The count; None while no worker answers."""
    try:
        return turns(server.client())
    except httpx2.TransportError:
        return None


def test_it_is_for_keys_with_the_scope_admin(server: Server, client: Client) -> None:
    assert_problem(server.client(None).get("/metrics"), 401, "not_authenticated")
    assert_problem(
        server.client_with(add_key(server.db, scopes=("chat", "read"))).get("/metrics"), 403, "missing_scope"
    )


def test_sentry_hears_nothing_of_being_scraped(start_server: StartServer, ingest: Ingest) -> None:
    server = start_server(SENTRY_DSN=ingest.dsn)
    client = server.client()
    assert turns(client) == 0
    client.get("/api/conversations")
    assert server.terminate() == 0
    assert [each["transaction"] for each in ingest.items("transaction")] == ["/api/conversations"]
    assert "/metrics" not in server.log()
