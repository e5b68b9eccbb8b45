"""A node that is told to stop serves whoever still gets through to it."""

import signal
from itertools import count

import httpx2
import pytest

from tests.conftest import StartServer
from tests.fakes.client import Client, Json
from tests.fakes.provider import Provider
from tests.fakes.server import Server


def until_refused(server: Server) -> list[int]:
    """What turns get, each on a connection of its own, until there is none to be had."""
    statuses: list[int] = []
    for _ in count():
        try:
            statuses.append(server.client().post("/api/chat", json={"message": "hello"}).status_code)
        except httpx2.ConnectError:
            break
    return statuses


def test_whoever_gets_through_is_served(start_server: StartServer, provider: Provider) -> None:
    """A proxy tries the next node when one refuses the connection, not when it refuses a turn."""
    server = start_server()
    client = server.client()
    with client.stream(client.conversation()["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        server.signal(signal.SIGTERM)
        assert set(until_refused(server)) <= {200}
        provider.release()
        assert list(stream)[-1].name == "message.completed"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"message": "hello", "stream": True}),
        ("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "hello"}], "stream": True}),
    ],
)
def test_a_stream_says_that_its_connection_ends_with_it(client: Client, path: str, body: Json) -> None:
    """Or a proxy would send the next request on it, just when a node that stops closes it."""
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
