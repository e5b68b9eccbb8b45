"""Turns whose workers have died get their end, and those that live keep going."""

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json
from tests.fakes.database import manage
from tests.fakes.provider import Provider
from tests.fakes.server import Server
from tests.fakes.waiting import poll


def last(client: Client, conversation: str) -> Json:
    return dict(client.messages(conversation)[-1])


def die(server: Server) -> str:
    """kill -9 in the middle of a turn; its conversation."""
    client = server.client()
    conversation = str(client.conversation()["id"])
    with client.asking(conversation, "go", model="hang-mid-stream"):
        client.wait_saved(conversation, PARTIAL)
        server.kill()
    return conversation


def let_leases_run_out(server: Server) -> None:
    server.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")


def test_a_server_ends_the_turns_that_a_killed_one_has_left(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    conversation = die(server)
    server.start()
    client = server.client()
    assert last(client, conversation)["status"] == "streaming", "its lease has not run out"
    let_leases_run_out(server)
    poll(lambda: last(client, conversation)["status"] == "interrupted", what="sweep")
    answer = last(client, conversation)
    assert (answer["content"], answer["error_code"]) == (PARTIAL, "interrupted")


def test_the_command_ends_them_too_and_leaves_those_that_live(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    conversation = die(server)
    assert manage(server.db.url, "sweep_turns").strip() == "Ended 0 turns."
    let_leases_run_out(server)
    assert manage(server.db.url, "sweep_turns").strip() == "Ended 1 turns."
    server.start()
    client = server.client()
    assert last(client, conversation)["status"] == "interrupted"


def test_a_live_turn_is_not_swept_by_its_own_worker(start_server: StartServer, provider: Provider) -> None:
    server = start_server()
    client = server.client()
    conversation, dead = (str(client.conversation()["id"]) for _ in range(2))
    with client.stream(conversation, "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        answer = client.say(dead, "hello").json()
        server.db.query(
            "UPDATE conversations_message SET status = 'streaming', lease_until = created_at WHERE request_id = ? "
            "AND role = 'assistant'",
            answer["request_id"],
        )
        poll(lambda: last(client, dead)["status"] == "interrupted", what="sweep")
        assert last(client, conversation)["status"] == "streaming"
        provider.release()
        assert list(stream)[-1].name == "message.completed"
