"""A client that leaves: the provider's work ends at once, and what was said is stored as `cancelled`."""

from tests.fakes.answers import FLOOD
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client, Json
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

AT_ONCE = 2.0
"""Seconds, on a busy machine; it takes milliseconds."""


def ended(client: Client, conversation_id: str) -> Json:
    """The assistant's message, once its turn has ended."""

    def answer() -> Json | None:
        last = client.messages(conversation_id)[-1]
        return None if last["status"] == "streaming" else last

    return dict(poll(answer, what="end of the turn"))


def test_leaving_a_stream_cancels_the_turn_and_keeps_its_text(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        created = stream.next("message.created")
        stream.text("three ")
    assert provider.last.hung_up.wait(AT_ONCE)
    answer = ended(client, conversation["id"])
    assert answer["id"] == created.data["id"]
    assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)
    assert (answer["error_code"], answer["sentry_event_id"], answer["finish_reason"]) == (None, None, None)
    assert answer["latency_ms"] >= answer["ttft_ms"] >= 0


def test_leaving_a_blocking_turn_cancels_it_and_keeps_its_text(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.asking(conversation["id"], "go", model="hang-mid-stream"):
        # The text is saved while the turn runs, too.
        client.wait_saved(conversation["id"], PARTIAL)
        assert client.messages(conversation["id"])[-1]["status"] == "streaming"
    assert provider.last.hung_up.wait(AT_ONCE)
    answer = ended(client, conversation["id"])
    assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)


def test_leaving_before_the_first_token_cancels_the_turn(client: Client, provider: Provider) -> None:
    for leave in (client.stream, client.asking):
        provider.clear()
        conversation = client.conversation()
        with leave(conversation["id"], "go", model="hang"):
            provider.wait()
        assert provider.last.hung_up.wait(AT_ONCE)
        answer = ended(client, conversation["id"])
        assert (answer["status"], answer["content"], answer["ttft_ms"]) == ("cancelled", "", None)


def test_leaving_while_the_server_waits_for_the_reader_cancels_the_turn(client: Client, provider: Provider) -> None:
    """The client reads nothing, so that the server cannot send; then it goes."""
    conversation = client.conversation()
    body = '{"content": "go", "stream": true, "model": "flood"}'
    with client.raw(f"POST /api/conversations/{conversation['id']}/messages", body):
        client.wait_saved(conversation["id"], "x" * FLOOD)
    assert provider.last.hung_up.wait(AT_ONCE)
    answer = ended(client, conversation["id"])
    assert (answer["status"], len(answer["content"])) == ("cancelled", FLOOD)


def test_leaving_after_the_last_token_changes_nothing(client: Client) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="tokens-3") as stream:
        for event in stream:
            if event.name == "message.completed":
                break
    assert ended(client, conversation["id"])["status"] == "completed"


def test_the_conversation_is_free_for_the_next_turn_at_once(client: Client, provider: Provider) -> None:
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
    assert provider.last.hung_up.wait(AT_ONCE)
    assert ended(client, conversation["id"])["status"] == "cancelled"
    assert client.say(conversation["id"], "hello").status_code == 200
    assert [message["content"] for message in provider.last.messages[1:]] == ["go", PARTIAL, "hello"]


def test_a_crowd_that_leaves_loses_nothing(client: Client, provider: Provider) -> None:
    conversations = [client.conversation()["id"] for _ in range(10)]
    streams = [client.stream(conversation, "go", model="hang-mid-stream") for conversation in conversations]
    for manager in streams:
        stream = manager.__enter__()
        stream.next("message.created")
        stream.text("three ")
    for manager in streams:
        manager.__exit__(None, None, None)
    for conversation in conversations:
        answer = ended(client, conversation)
        assert (answer["status"], answer["content"]) == ("cancelled", PARTIAL)
    assert all(request.hung_up.wait(AT_ONCE) for request in provider.chats)
