"""`systemctl reload`: SIGHUP, as chat.service has it, replaces the workers under traffic."""

import signal

from tests.conftest import StartServer
from tests.deploy.files import unit
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll


def test_a_reload_replaces_the_workers_and_ends_no_turn(start_server: StartServer, provider: Provider) -> None:
    assert unit("chat.service")["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    server = start_server(WEB_CONCURRENCY="2")
    client, before = server.client(), set(server.workers())
    with client.stream(client.conversation()["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        server.signal(signal.SIGHUP)
        poll(lambda: len(set(server.workers()) - before) == 2, 30, "new workers")
        poll(lambda: len(before & set(server.workers())) == 1, 30, "end of the idle worker")
        other = server.client()
        assert "\nchat_live_turns 1\n" in other.get("/metrics").text, "the old worker's turn"
        assert other.post("/api/chat", json={"message": "hello"}).status_code == 200
        provider.release()
        assert list(stream)[-1].name == "message.completed"
    poll(lambda: not before & set(server.workers()), 30, "end of the old workers")
