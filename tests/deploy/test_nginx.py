"""nginx.conf behind a real nginx, when there is one: events pass as they come, and leaving is noticed."""

import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.deploy.files import DEPLOY
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.loopback import Handler, Loopback
from tests.fakes.ports import free_port
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")

AROUND = """
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {configuration}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[str]:
    """Its address, in front of `upstream`."""
    port = free_port()
    path = configure(folder, port, upstream)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([str(NGINX), "-c", path], stdout=output, stderr=subprocess.STDOUT)
    try:
        poll(lambda: process.poll() is not None or listens(port), what="nginx")
        assert process.poll() is None, (folder / "output").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def through(server: Server, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Alice's client, with nginx between it and the server."""
    with nginx(tmp_path_factory.mktemp("nginx"), server.url) as url:
        client = Client(url, databases.keys["alice"])
        yield client
        client.close()


def configure(folder: Path, port: int, upstream: str) -> Path:
    """Writes chat.conf with addresses of this test, and what stands around it in Debian's nginx.conf."""
    configuration = (DEPLOY / "nginx" / "chat.conf").read_text()
    for there, here in (("listen 80;", f"listen 127.0.0.1:{port};"), ("chat:8000", upstream.removeprefix("http://"))):
        assert configuration.count(there) == 1
        configuration = configuration.replace(there, here)
    user = pwd.getpwuid(os.getuid()).pw_name
    path = folder / "nginx.conf"
    path.write_text(AROUND.format(user=user, folder=folder, configuration=configuration))
    return path


def test_nginx_takes_the_file(tmp_path: Path) -> None:
    path = configure(tmp_path, free_port(), "http://127.0.0.1:1")
    done = subprocess.run([str(NGINX), "-t", "-c", path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "[emerg]" not in done.stderr


def test_each_event_passes_before_the_next_is_there(tmp_path: Path) -> None:
    events = ["data: x\n\n"] * 50
    with (
        Steps(events) as upstream,
        nginx(tmp_path, f"http://127.0.0.1:{upstream.port}") as url,
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
                self.end_headers()
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
