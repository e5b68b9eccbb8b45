"""Streamed completions, with OpenAI's own client and on the wire."""

import asyncio
import json
import re
import signal
from typing import Any

import httpx2
import openai
import pytest

from tests.conftest import StartServer
from tests.conversations.openai.conftest import async_sdk_of, sdk_of
from tests.conversations.openai.test_completions import HELLO, WEATHER, City
from tests.fakes.answers import CALLS, PARTIAL, THOUGHT
from tests.fakes.behaviours import ECHO
from tests.fakes.client import TIMEOUT, Client
from tests.fakes.provider import Provider

AT_ONCE = 2.0
"""Seconds, on a busy machine; it takes milliseconds."""


def events(client: Client, **body: Any) -> list[Any]:
    """The data of each event, parsed; but for the last, which has to be [DONE]."""
    response = client.post("/v1/chat/completions", json={"messages": HELLO, "stream": True, **body})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    blocks = response.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


@pytest.mark.usefixtures("rows")
def test_the_chunks_are_as_openais(client: Client) -> None:
    chunks = events(client, model="echo")
    heads = {(c["id"], c["object"], c["created"], c["model"]) for c in chunks}
    [(id_, kind, created, model)] = heads
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", id_)
    assert (kind, model) == ("chat.completion.chunk", "echo-2026")
    assert created > 1_700_000_000
    [choices] = {len(c["choices"]) for c in chunks}
    assert choices == 1
    assert [c["choices"][0]["delta"] for c in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "You"},
        {"content": " said:"},
        {"content": " hello"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, None, "stop"]
    assert all("usage" not in c for c in chunks)


def test_the_usage_comes_last_when_it_is_asked_for(sdk: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    with sdk.chat.completions.create(model="echo", messages=HELLO, stream=True, stream_options=options) as stream:
        *chunks, end, last = list(stream)
    assert end.choices[0].finish_reason == "stop"
    assert (last.choices, [c.usage for c in [*chunks, end]]) == ([], [None] * (len(chunks) + 1))
    assert last.usage is not None
    assert (last.usage.completion_tokens, last.id) == (3, end.id)


def test_tool_calls_come_in_pieces_and_the_client_puts_them_together(sdk: openai.OpenAI) -> None:
    asked = {"messages": HELLO, "tools": [WEATHER]}
    for model in ("tool-calls", "tool-calls-whole", "tool-calls-same-index", "json-tool-calls"):
        with sdk.chat.completions.stream(model=model, **asked) as stream:  # type: ignore[arg-type]
            message = stream.get_final_completion().choices[0]
        assert message.finish_reason == "tool_calls"
        called = [
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.message.tool_calls or []
        ]
        assert called == [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in CALLS
        ], model


def test_reasoning_comes_when_it_is_asked_for(client: Client) -> None:
    said = [c["choices"][0]["delta"] for c in events(client, model="reasoning", include_reasoning=True)]
    assert {"reasoning_content": THOUGHT} in said
    assert THOUGHT not in str(events(client, model="reasoning"))


def test_a_refusal_comes_as_one(client: Client, sdk: openai.OpenAI) -> None:
    said = [c["choices"][0]["delta"] for c in events(client, model="refusal")]
    assert said == [{"role": "assistant", "content": ""}, {"refusal": PARTIAL}, {"refusal": "no."}, {}]
    with sdk.chat.completions.stream(model="refusal", messages=HELLO, response_format=City) as stream:
        message = stream.get_final_completion().choices[0].message
    assert (message.refusal, message.parsed) == (f"{PARTIAL}no.", None)


def test_text_of_any_kind_arrives_as_it_was_said(sdk: openai.OpenAI) -> None:
    text = 'Grüße 🌍 "quoted" {} \\ \n data: [DONE]\n\n end'
    with sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": text}], stream=True) as stream:
        assert "".join(c.choices[0].delta.content or "" for c in stream) == f"{ECHO}{text}"


def test_an_answer_without_a_word_has_its_end(client: Client) -> None:
    assert [c["choices"][0]["finish_reason"] for c in events(client, model="length-empty")] == [None, "length"]


@pytest.mark.usefixtures("rows")
def test_closing_the_stream_ends_the_providers_work(sdk: openai.OpenAI, provider: Provider) -> None:
    with sdk.chat.completions.create(model="hang-mid-stream", messages=HELLO, stream=True) as stream:
        assert "".join(next(stream).choices[0].delta.content or "" for _ in range(4)) == PARTIAL
    assert provider.last.hung_up.wait(AT_ONCE)


@pytest.mark.parametrize("streamed", [False, True])
def test_leaving_before_the_first_token_ends_the_providers_work(
    client: Client, provider: Provider, streamed: bool
) -> None:
    body = json.dumps({"model": "hang", "messages": list(HELLO), "stream": streamed})
    with client.raw("POST /v1/chat/completions", body):
        provider.wait()
    assert provider.last.hung_up.wait(AT_ONCE)


def test_the_async_client_streams_and_leaves(client: Client, provider: Provider) -> None:
    async def ask() -> str:
        async with async_sdk_of(client) as sdk:
            text = ""
            async with await sdk.chat.completions.create(
                model="hang-mid-stream", messages=HELLO, stream=True
            ) as stream:
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
                    if text == PARTIAL:
                        break
            return text

    assert asyncio.run(ask()) == PARTIAL
    assert provider.last.hung_up.wait(AT_ONCE)


def test_a_failure_in_the_middle_is_an_error_that_the_client_raises(client: Client, sdk: openai.OpenAI) -> None:
    *chunks, last = events(client, model="drop-mid-stream")
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks) == PARTIAL
    assert (last["error"]["type"], last["error"]["code"]) == ("server_error", "unreachable")
    assert last["error"].keys() >= {"message", "param", "request_id", "sentry_event_id"}
    with (
        sdk.chat.completions.create(model="drop-mid-stream", messages=HELLO, stream=True) as stream,
        pytest.raises(openai.APIError, match="cannot be reached") as caught,
    ):
        list(stream)
    assert caught.value.code == "unreachable"


def test_a_failure_before_the_first_token_has_its_status(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(model="status-429", messages=HELLO, stream=True)
    assert caught.value.response.headers["Retry-After"] == "7"


def test_the_client_bears_pings(provider: Provider) -> None:
    """Asked of the fake provider itself, which sends some at once: ours come after 15 s only."""
    http = httpx2.Client(timeout=TIMEOUT, trust_env=False)
    with (
        openai.OpenAI(base_url=provider.url, api_key="none", http_client=http) as sdk,
        sdk.chat.completions.create(model="pings", messages=HELLO, stream=True) as stream,
    ):
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "fine"


def test_a_shutdown_tells_the_reader(start_server: StartServer, provider: Provider) -> None:
    server = start_server(GRACEFUL_TIMEOUT="4")
    client = server.client()
    with (
        sdk_of(client) as sdk,
        sdk.chat.completions.create(model="hang-mid-stream", messages=HELLO, stream=True) as stream,
    ):
        next(iter(stream))
        server.signal(signal.SIGTERM)
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.code == "interrupted"
    client.close()
    assert server.wait() == 0
