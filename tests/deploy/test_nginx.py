"""nginx.conf behind a real nginx, when there is one: events pass as they come, and leaving is noticed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.deploy.files import DEPLOY
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.loopback import Handler, Loopback
from tests.fakes.nginx import installed, nginx
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

SITE = DEPLOY / "nginx" / "chat.conf"
pytestmark = pytest.mark.skipif(installed() is None, reason="nginx is not installed (Debian: nginx-light)")


@pytest.fixture(scope="module")
def through(server: Server, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Alice's client, with nginx between it and the server."""
    with nginx(SITE, tmp_path_factory.mktemp("nginx"), [server.url]) as url:
        client = Client(url, databases.keys["alice"])
        yield client
        client.close()


def test_each_event_passes_before_the_next_is_there(tmp_path: Path) -> None:
    events = ["data: x\n\n"] * 50
    with (
        Steps(events) as upstream,
        nginx(SITE, tmp_path, [f"http://127.0.0.1:{upstream.port}"]) as url,
        httpx2.stream("GET", url, timeout=10, trust_env=False) as response,
    ):
        found = []
        for text in response.iter_text():
            found.append(text)
            upstream.go_on.release()
    assert found == events


class Steps(Loopback):
    """A server that sends an event when the one before has come, and does not ask for no buffering."""

    def __init__(self, events: list[str]) -> None:
        self.go_on = threading.Semaphore(1)
        steps = self

        class Stepping(Handler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")  # an answer without a length ends with its connection
                self.end_headers()
                if self.path == "/health":
                    return
                for event in events:
                    if steps.go_on.acquire(timeout=20):
                        self.wfile.write(event.encode())

        super().__init__(Stepping)


def test_the_servers_own_events_pass(through: Client, provider: Provider) -> None:
    conversation = through.conversation()["id"]
    with through.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        assert stream.text("three ") == "one two three "
        provider.release()
        assert list(stream)[-1].name == "message.completed"


def test_leaving_ends_the_turn(through: Client, provider: Provider) -> None:
    conversation = through.conversation()["id"]
    with through.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
    assert provider.last.hung_up.wait(10)
    poll(lambda: through.messages(conversation)[-1]["status"] == "cancelled", what="cancelled turn")


def test_a_body_that_the_server_takes_passes(through: Client) -> None:
    text = "x " * 49_000 + "ü" * 1_000
    assert through.say(through.conversation()["id"], text).status_code == 200
    image = "data:image/png;base64," + "A" * 1_200_000  # more than nginx' own limit of 1 MB
    answer = through.say(through.conversation()["id"], [{"type": "image_url", "image_url": {"url": image}}])
    assert answer.headers["X-Request-ID"], "it is the server's own answer"
    assert answer.status_code != 413


def test_too_large_a_body_is_refused_in_the_servers_own_words(through: Client) -> None:
    answer = through.say(through.conversation()["id"], "x" * 2_500_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_the_metrics_are_not_for_the_world(through: Client, client: Client) -> None:
    assert client.get("/metrics").status_code == 200
    assert through.get("/metrics").status_code == 404
