"""Two turns at once on one conversation: the second is told so, and nothing of it is stored."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, assert_problem
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll


def test_the_second_turn_gets_a_conflict(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "first", model="hang-mid-stream") as stream:
        provider.wait()
        for second in (
            client.say(conversation["id"], "second"),
            client.say(conversation["id"], "second", stream=True),
            client.post("/api/chat", json={"message": "second", "conversation_id": conversation["id"]}),
        ):
            assert_problem(second, 409, "turn_in_progress")
            assert second.headers["Retry-After"].isdecimal()
        assert [message["content"] for message in client.messages(conversation["id"])][:1] == ["first"]
        assert len(client.messages(conversation["id"])) == 2
        provider.release()
        assert list(stream)[-1].name == "message.completed"
    assert len(provider.chats) == 1
    assert client.say(conversation["id"], "second").status_code == 200
    assert client.read(conversation["id"])["message_count"] == 4


def test_of_many_turns_at_the_same_moment_one_runs(client: Client, provider: Provider) -> None:
    conversation = client.conversation()

    def say(number: int) -> int:
        return client.say(conversation["id"], str(number), model="hang").status_code

    with ThreadPoolExecutor(12) as crowd:
        answers = [crowd.submit(say, number) for number in range(12)]
        poll(lambda: sum(answer.done() for answer in answers) == 11, what="eleven refusals")
        provider.release()
        assert Counter(answer.result() for answer in answers) == {200: 1, 409: 11}
    assert len(provider.chats) == 1
    assert [message["status"] for message in client.messages(conversation["id"])] == ["completed", "completed"]


def test_other_conversations_go_on(client: Client, provider: Provider) -> None:
    with client.stream(client.conversation()["id"], "first", model="hang"):
        provider.wait()
        assert client.say(client.conversation()["id"], "second").status_code == 200


def test_a_turn_whose_server_was_killed_does_not_block_its_conversation(
    start_server: StartServer, provider: Provider
) -> None:
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with client.asking(conversation["id"], "first", model="hang-mid-stream"):
        # Saved every second: what a kill may cost.
        client.wait_saved(conversation["id"], PARTIAL)
        server.kill()
    server.start()
    client = server.client()
    assert_problem(client.say(conversation["id"], "too early"), 409, "turn_in_progress")
    server.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")
    assert client.say(conversation["id"], "second").status_code == 200
    asked, dead, *_ = client.messages(conversation["id"])
    assert (asked["content"], asked["status"]) == ("first", "completed")
    assert (dead["content"], dead["status"], dead["error_code"]) == (PARTIAL, "interrupted", "interrupted")
    assert [message["content"] for message in provider.last.messages[1:]] == ["first", PARTIAL, "second"]


def test_a_long_turn_keeps_its_conversation(start_server: StartServer, provider: Provider) -> None:
    """Its lease is extended while it runs; here it would have run out."""
    server = start_server()
    client = server.client()
    conversation = client.conversation()
    with client.stream(conversation["id"], "first", model="hang") as stream:
        provider.wait()
        server.db.query("UPDATE conversations_message SET lease_until = created_at WHERE status = 'streaming'")
        poll(
            lambda: server.db.query(
                "SELECT 1 FROM conversations_message WHERE status = 'streaming' AND lease_until > created_at"
            )
        )
        assert_problem(client.say(conversation["id"], "second"), 409, "turn_in_progress")
        provider.release()
        assert list(stream)[-1].name == "message.completed"
