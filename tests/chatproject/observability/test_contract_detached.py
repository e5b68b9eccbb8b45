"""The contract's rows of turns that may outlast their requests: they are transactions of their own."""

import json
import secrets
from typing import Any

import pytest

from tests.chatproject.observability.contract import covers
from tests.chatproject.observability.watch import (
    Header,
    Seen,
    Watch,
    is_handled,
    is_told_everywhere,
    new_request,
    path_of,
)
from tests.fakes.behaviours import PARTIAL
from tests.fakes.client import Client
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

Json = dict[str, Any]
STREAMED = {"stream": True, "detached": True}
kinds = pytest.mark.parametrize("kind", [STREAMED, {"stream": True}, {}], ids=["detached", "keyed stream", "keyed"])
"""The last two have an Idempotency-Key."""


def headers_of(kind: Json) -> Header:
    return new_request() | ({} if "detached" in kind else {"Idempotency-Key": secrets.token_hex(8)})


def seen_of(watch: Watch, header: Header) -> tuple[Json, Seen]:
    """The request's own transaction, and all else that came of it: the turn's transaction, and events."""
    found = poll(lambda: (seen := watch.of(header)) and len(seen.transactions) == 2 and seen, 15, "two transactions")
    [request, turn] = sorted(found.transactions, key=lambda item: item["contexts"]["trace"]["op"] == "chat.turn")
    assert request["contexts"]["trace"]["op"] == "http.server"
    assert turn["contexts"]["trace"]["op"] == "chat.turn"
    assert turn["contexts"]["trace"]["trace_id"] == request["contexts"]["trace"]["trace_id"]
    assert turn["contexts"]["trace"]["parent_span_id"] == request["contexts"]["trace"]["span_id"]
    assert turn["transaction"] == request["transaction"] == "/api/conversations/{conversation_id}/messages"
    assert [span for span in request["spans"] if span["op"] == "gen_ai.chat"] == []
    return request, Seen(found.events, [turn])


def leave(client: Client, path: str, header: Header, kind: Json, model: str) -> None:
    """A turn that runs, and whose client has gone."""
    with client.raw(f"POST {path}", json.dumps({"content": "hi there", "model": model, **kind}), **header):
        client.wait_saved(path.split("/")[3], PARTIAL)


@covers("a turn that may outlast its request succeeds")
@kinds
@pytest.mark.parametrize("leaves", [False, True], ids=["read", "left"])
def test_its_success_is_told_once(client: Client, provider: Provider, watch: Watch, kind: Json, leaves: bool) -> None:
    header, path = headers_of(kind), path_of(client)
    if leaves:
        leave(client, path, header, kind, "hang-mid-stream")
        poll(lambda: len(watch.ingest.items("transaction")) and watch.of(header).transactions, what="the request's")
        assert not provider.last.hung_up.is_set()
        provider.release()
    else:
        client.post(path, json={"content": "hi there", **kind}, headers=header)
    request, seen = seen_of(watch, header)
    seen.fits("a turn that may outlast its request succeeds")
    assert request["contexts"]["trace"]["status"] == "ok"
    assert seen.transaction["tags"].items() >= {"provider": "fake", "chat.outcome": "completed"}.items()
    assert seen.attempt["data"]["chat.outcome"] == "completed"
    assert seen.attempt["data"]["gen_ai.usage.output_tokens"] > 0
    assert client.messages(path.split("/")[3])[-1]["status"] == "completed"


@covers("a turn that may outlast its request fails for good")
@kinds
def test_its_failure_after_its_reader_has_left_is_one_event(
    client: Client, provider: Provider, watch: Watch, kind: Json
) -> None:
    header, path = headers_of(kind), path_of(client)
    leave(client, path, header, kind, "drop-when-released")
    provider.release()
    request, seen = seen_of(watch, header)
    seen.fits("a turn that may outlast its request fails for good")
    assert request["contexts"]["trace"]["status"] == "ok"
    message = client.messages(path.split("/")[3])[-1]
    is_told_everywhere(seen, message, client)
    assert is_handled(seen.event)
    assert seen.event["fingerprint"] == ["provider-error", "fake", "unreachable"]
    assert seen.event["transaction"] == "/api/conversations/{conversation_id}/messages"
    assert seen.event["user"]["username"] == "alice"
    assert seen.event["request"]["method"] == "POST"
    assert seen.event["breadcrumbs"]["values"][0]["message"] == "request started"
    contexts = seen.event["contexts"]
    assert contexts["provider_error"]["code"] == "unreachable"
    assert contexts["provider"]["name"] == "fake"
    assert contexts["attempts"]["1"]["outcome"] == "failed"
    assert contexts["trace"]["span_id"] == seen.attempt["span_id"]
    assert "hi there" not in json.dumps(seen.event)
