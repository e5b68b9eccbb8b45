"""The gen_ai spans that Sentry's AI views are made of, with and without the messages' text."""

import json
import time
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import client as sdk
from sentry_sdk.serializer import serialize

from chatproject.observability.gen_ai import GenAISpan
from chatproject.observability.serializer import in_front_of
from chatproject.observability.transport import LoopTransport
from tests.conftest import StartServer
from tests.fakes.client import Client, Json
from tests.fakes.ingest import Ingest
from tests.fakes.waiting import poll

SYSTEM = "be-brief-5fd1"
ASKED = "first-question-77aa ä"
AGAIN = "second-question-93bc"
TEXTS = "gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"


def span_of(ingest: Ingest, message: Json) -> dict[str, Any]:
    """The one gen_ai span of the turn that made `message`."""
    [transaction] = poll(lambda: ingest.of_request(message["request_id"], "transaction"), what="transaction")
    [span] = [span for span in transaction["spans"] if span["op"] == "gen_ai.chat"]
    return dict(span)


def two_turns(client: Client, **fields: Any) -> Json:
    """The answer to the second of two turns."""
    conversation = client.conversation(system_prompt=SYSTEM)
    client.say(conversation["id"], ASKED)
    client.say(conversation["id"], AGAIN, **fields)
    return client.messages(conversation["id"])[-1]


def part(role: str, text: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def test_with_prompts_the_text_is_in_the_attributes_that_the_ai_views_read(
    start_server: StartServer, ingest: Ingest
) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn, SENTRY_INCLUDE_PROMPTS="true").client()
    message = two_turns(client)
    data = span_of(ingest, message)["data"]
    # Strings of JSON, as the SDK's own integrations write them; the system's instructions are no message.
    assert json.loads(data["gen_ai.system_instructions"]) == [{"type": "text", "content": SYSTEM}]
    assert json.loads(data["gen_ai.input.messages"]) == [
        part("user", ASKED),
        part("assistant", f"You said: {ASKED}"),
        part("user", AGAIN),
    ]
    [answer] = json.loads(data["gen_ai.output.messages"])
    assert answer == {**part("assistant", f"You said: {AGAIN}"), "finish_reason": "stop"}


def test_what_there_is_of_a_failed_answer_is_there_too(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn, SENTRY_INCLUDE_PROMPTS="true").client()
    message = two_turns(client, model="drop-mid-stream")
    span = span_of(ingest, message)
    assert span["status"] == "internal_error"
    assert json.loads(span["data"]["gen_ai.output.messages"]) == [part("assistant", message["content"])]


def test_the_servers_own_instructions_are_there_too(start_server: StartServer, ingest: Ingest) -> None:
    environment = {"SENTRY_INCLUDE_PROMPTS": "true", "CHAT_SYSTEM_PROMPT": "Rhyme."}
    client = start_server(SENTRY_DSN=ingest.dsn, **environment).client()
    message = client.post("/api/chat", json={"message": ASKED}).json()
    data = span_of(ingest, message)["data"]
    assert json.loads(data["gen_ai.system_instructions"]) == [{"type": "text", "content": "Rhyme."}]
    assert json.loads(data["gen_ai.input.messages"]) == [part("user", ASKED)]


@pytest.mark.parametrize("model", ["echo", "drop-mid-stream", "status-500"])
def test_without_prompts_no_text_leaves(start_server: StartServer, ingest: Ingest, model: str) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn).client()
    message = two_turns(client, model=model)
    data = span_of(ingest, message)["data"]
    assert not data.keys() & set(TEXTS)
    sent = b"".join(ingest.raw)
    for text in (SYSTEM, "first-question-77aa", AGAIN):
        assert text.encode() not in sent


def test_the_span_says_who_answered_how_much_and_how_fast(start_server: StartServer, ingest: Ingest) -> None:
    client = start_server(SENTRY_DSN=ingest.dsn).client()
    message = two_turns(client)
    data = span_of(ingest, message)["data"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "fake",
        "gen_ai.request.model": "echo",
        "gen_ai.response.model": "echo-2026",
        "gen_ai.response.streaming": False,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": message["conversation_id"],
        "gen_ai.usage.input_tokens": message["usage"]["prompt_tokens"],
        "gen_ai.usage.output_tokens": message["usage"]["completion_tokens"],
        "gen_ai.usage.total_tokens": message["usage"]["total_tokens"],
    }
    assert {key: data.get(key) for key in expected} == expected
    # From the attempt's start; the message counts from the request's.
    assert 0 < data["gen_ai.response.time_to_first_token"] <= (message["ttft_ms"] + 1) / 1000


def test_to_sentry_io_it_goes_as_an_item_of_its_own_untruncated(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with the options that sentry.io's DSNs get, since no test can send to those."""
    monkeypatch.setattr(sdk, "serialize", in_front_of(serialize, spans_apart=True))
    long = "word " * 40_000
    with sentry_sdk.isolation_scope() as scope:
        options: Json = {"traces_sample_rate": 1.0, "stream_gen_ai_spans": True, "transport": LoopTransport}
        scope.set_client(sentry_sdk.Client(ingest.dsn, **options))
        with sentry_sdk.start_transaction(name="turn"):
            span = GenAISpan(provider="fake", model="echo", conversation_id="c1", streaming=True)
            asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": long}]
            span.messages(asked, "Yes.", [], "stop")
            span.finish(outcome="completed", failed=False)
        scope.client.close()
    [batch] = ingest.wait("span")
    [sent] = batch["items"]
    assert time.time() - 60 < sent["start_timestamp"] <= sent["end_timestamp"]
    attributes = {key: value["value"] for key, value in sent["attributes"].items()}
    assert attributes["gen_ai.conversation.id"] == "c1"
    assert json.loads(attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": SYSTEM}]
    assert json.loads(attributes["gen_ai.input.messages"]) == [part("user", long)]
    assert json.loads(attributes["gen_ai.output.messages"]) == [{**part("assistant", "Yes."), "finish_reason": "stop"}]
