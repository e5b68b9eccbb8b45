"""What Sentry hears of a turn, from the envelopes of a real server."""

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client
from tests.fakes.fence import fence
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll


def test_killing_the_provider_mid_stream_is_exactly_one_event(
    start_server: StartServer, dying_provider: Provider, ingest: Ingest
) -> None:
    client = start_server(dying_provider, SENTRY_DSN=ingest.dsn).client()
    conversation = client.conversation()
    with client.stream(conversation["id"], "go", model="hang-mid-stream") as stream:
        stream.next("message.created")
        stream.text("three ")
        dying_provider.kill()
        failed = list(stream)[-1]
    assert (failed.name, failed.data["code"]) == ("message.failed", "unreachable")
    [event] = fence(client, ingest)
    assert event["event_id"] == failed.data["sentry_event_id"]
    assert event["tags"]["provider"] == "fake"
    assert event["tags"]["conversation_id"] == conversation["id"]
    assert event["tags"]["request_id"] == failed.data["request_id"]
    assert event["contexts"]["trace"]["trace_id"] == failed.data["trace_id"]
    answer = client.messages(conversation["id"])[-1]
    assert (answer["status"], answer["content"]) == ("failed", PARTIAL)
    assert answer["sentry_event_id"] == event["event_id"]


def test_leaving_mid_stream_is_no_event(client: Client, provider: Provider, server_ingest: Ingest) -> None:
    fence(client, server_ingest)
    for leave in (client.stream, client.asking):
        conversation = client.conversation()
        with leave(conversation["id"], "go", model="hang-mid-stream"):
            client.wait_saved(conversation["id"], PARTIAL)
        poll(lambda c=conversation: client.messages(c["id"])[-1]["status"] == "cancelled")  # type: ignore[misc]
    poll(lambda: len(outcomes(server_ingest)) == 2, what="two transactions")
    assert outcomes(server_ingest) == ["cancelled", "cancelled"]
    assert fence(client, server_ingest) == []


def outcomes(ingest: Ingest) -> list[str]:
    """How the turns ended, by their transactions' tags."""
    tags = [transaction.get("tags", {}) for transaction in ingest.items("transaction")]
    return [tag["chat.outcome"] for tag in tags if "chat.outcome" in tag]


def test_a_turn_that_succeeds_is_no_event(client: Client, provider: Provider, server_ingest: Ingest) -> None:
    fence(client, server_ingest)
    client.say(client.conversation()["id"], "hello")
    client.events(client.conversation()["id"], "hello")
    poll(lambda: outcomes(server_ingest) == ["completed", "completed"], what="two transactions")
    assert fence(client, server_ingest) == []
