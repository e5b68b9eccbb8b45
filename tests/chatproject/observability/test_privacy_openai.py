"""Canaries through OpenAI's endpoints, stored and not, in every field and in the names of parameters."""

import json
from typing import Any

import pytest

from tests.chatproject.observability.canaries import Canaries, Run, configuration, leaked
from tests.conftest import StartServer
from tests.fakes.echoing import EchoingProvider
from tests.fakes.faulty import BUGS
from tests.fakes.ingest import Ingest
from tests.fakes.waiting import poll

PATH = "/v1/chat/completions"
GOOD = ("reply", "names")
BAD = ("echo-400", "echo-400-context", "echo-401", "echo-404", "echo-503", "echo-in-stream", *BUGS)


def body_of(c: Canaries) -> dict[str, Any]:
    function = {"name": "look_up", "description": c.tool}
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/{c.image}.png?{c.image}"}}
    call = {"id": c.result, "type": "function", "function": {"name": "look_up", "arguments": c.arguments}}
    return {
        "messages": [
            {"role": "developer", "content": c.system_prompt},
            {"role": "user", "content": [{"type": "text", "text": c.prompt}, image], "name": c.title},
            {"role": "assistant", "tool_calls": [{**call, "extra_content": {c.thought: c.thought}}], c.row: c.row},
            {"role": "tool", "tool_call_id": c.result, "content": c.result},
            {"role": "user", "content": f"Grüße „{c.prompt}“"},
        ],
        "metadata": {c.metadata: c.metadata},
        "tools": [{"type": "function", "function": function}],
        "user": c.metadata,
        c.metadata: [{c.title: c.title}],
    }


def complete(run: Run, *, streamed: bool, stored: bool) -> None:
    body = {**body_of(run.canaries), "stream": streamed, "store": stored}
    for model in (*GOOD, *BAD):
        response = run.client.post(f"{PATH}?q={run.canaries.query}", json={**body, "model": model})
        failed = response.status_code >= 400 or '"error"' in response.text
        assert failed is (model in BAD), response.text
    [parameter] = [chat.body[run.canaries.metadata] for chat in run.provider.chats[-1:]]
    assert parameter == [{run.canaries.title: run.canaries.title}]
    asked = len(run.provider.chats)
    with run.client.raw(f"POST {PATH}", json.dumps({**body, "model": "hang-mid-stream"})):
        run.provider.wait(asked + 1)
    poll(run.provider.last.hung_up.is_set)


def refuse(run: Run) -> None:
    c = run.canaries
    body = {**body_of(c), "model": c.prompt}
    wrong: list[dict[str, Any]] = [
        {"n": c.prompt},
        {"tools": c.tool},
        {"messages": [{"role": c.prompt}]},
        {c.metadata: [c.row, "\0"]},
        {f"{c.metadata}\0": c.row},
        {"model": "local"},  # takes no images
    ]
    for more in wrong:
        assert run.client.post(f"{PATH}?q={c.query}", json=body | more).status_code == 400
    for name, status in ((c.header, 400), ("01a20d3d-1df6-76fb-b6fa-0a88fa10974e", 404)):
        assert run.client.post(PATH, json=body, headers={"X-Conversation-ID": name}).status_code == status
    assert run.client.get(f"/v1/nothing?q={c.query}").status_code == 404


@pytest.mark.parametrize("prompts", ["false", "true"])
def test_nothing_private_of_a_completion_reaches_sentry_or_the_log(
    start_server: StartServer, ingest: Ingest, prompts: str
) -> None:
    c, options = Canaries(), {"SENTRY_EVENT_BURST": "0", "SENTRY_INCLUDE_PROMPTS": prompts}
    with EchoingProvider() as echoing:
        run = Run(start_server(echoing, **{**configuration(c, ingest), **options}), ingest, echoing, c)
        for streamed in (False, True):
            complete(run, streamed=streamed, stored=streamed is (prompts == "false"))
        refuse(run)
        run.settle()
    reasons = [event["contexts"].get("provider_error", {}).get("reason") or "" for event in ingest.items("event")]
    assert len([reason for reason in reasons if reason.startswith("Refused: '…")]) == 2 * 6
    secret, texts = c.secrets() | run.keys, c.texts()
    assert leaked(secret | texts, run.log()) == {}
    assert leaked(secret, run.sent()) == {}
    assert leaked(texts, run.sent()).keys() == (texts.keys() if prompts == "true" else set())
