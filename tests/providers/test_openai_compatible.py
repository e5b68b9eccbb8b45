"""The adapter against a provider on loopback: what it asks, what it hands on, and what it makes of every failure."""

import asyncio
import socket
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest

from providers import errors
from providers.base import ChatMessage, ChatRequest, Delta, Usage
from providers.decoder import LONGEST_ANSWER
from providers.openai_compatible import OpenAICompatible
from providers.registry import PRESETS, Timeouts
from providers.registry import Provider as Row
from tests.fakes.answers import CALLS, ECHO, PARTIAL, THOUGHT
from tests.fakes.exchange import REQUEST_ID
from tests.fakes.provider import Provider
from tests.providers.closing import run

HELLO: list[ChatMessage] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]


@pytest.fixture
def row(provider: Provider) -> Row:
    return Row(name="fake", label="Fake", base_url=provider.url, model="echo", api_key="fake-secret")


def stream(row: Row, model: str = "echo", messages: list[ChatMessage] = HELLO, **parameters: Any) -> list[Delta]:
    """The whole answer."""

    async def use(adapter: OpenAICompatible) -> list[Delta]:
        request = ChatRequest(model=model, messages=messages, **parameters)
        return [delta async for delta in adapter.stream(request)]

    return run(OpenAICompatible(row), use)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def reasoning(deltas: list[Delta]) -> str:
    return "".join(delta.reasoning for delta in deltas)


def finish(deltas: list[Delta]) -> list[str]:
    return [delta.finish_reason for delta in deltas if delta.finish_reason]


def fails(row: Row, model: str) -> tuple[list[Delta], errors.ProviderError]:
    """What came before the failure, and the failure."""
    before: list[Delta] = []

    async def use(adapter: OpenAICompatible) -> None:
        async for delta in adapter.stream(ChatRequest(model=model, messages=HELLO)):
            before.append(delta)  # noqa: PERF401 (a comprehension would lose them all)

    with pytest.raises(errors.ProviderError) as error:
        run(OpenAICompatible(row), use)
    return before, error.value


def test_it_asks_in_the_protocols_words(row: Row, provider: Provider) -> None:
    stream(row, temperature=0.5, max_tokens=20)
    assert provider.last.path == "/v1/chat/completions"
    assert provider.last.headers["authorization"] == "Bearer fake-secret"
    assert provider.last.body == {
        "model": "echo",
        "messages": HELLO,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 20,
    }


def test_it_leaves_out_what_nobody_asked_for(row: Row, provider: Provider) -> None:
    stream(replace(row, stream_usage=False))
    assert provider.last.body == {"model": "echo", "messages": HELLO, "stream": True}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_it_asks_every_preset_in_its_dialect(preset: Row, provider: Provider) -> None:
    stream(replace(preset, base_url=provider.url, api_key="k"), max_tokens=20)
    body = provider.last.body
    assert body[preset.max_tokens_field] == 20
    assert ("stream_options" in body) is preset.stream_usage


def test_it_hands_on_text_finish_reason_model_and_usage(row: Row) -> None:
    deltas = stream(row)
    assert text(deltas) == f"{ECHO}hello there"
    assert [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]
    assert {d.model for d in deltas} == {"echo-2026"}
    assert [d.usage for d in deltas if d.usage] == [Usage(4, 4, 8)]


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("crlf", f"{ECHO}hello there"),
        ("usage-missing", f"{ECHO}hello there"),
        ("utf8-split", "Grüße 🌍"),
        ("comments", "fine"),
        ("gzip", f"{ECHO}hello there"),
        ("multi-line", f"{ECHO}hello there"),
        ("wrong-type", f"{ECHO}hello there"),
        ("no-done", PARTIAL),
        ("unterminated", f"{PARTIAL}four"),
        ("json-instead-of-sse", PARTIAL),
        ("drop-after-finish", PARTIAL),
        ("hang-after-done", PARTIAL),
        ("nul", "abc?d"),
        ("tokens-200", "tok " * 200),
    ],
)
def test_it_understands_every_dialect_of_an_event_stream(row: Row, model: str, answer: str) -> None:
    assert text(stream(row, model)) == answer


def test_it_takes_a_hundred_thousand_tokens(row: Row) -> None:
    deltas = stream(row, "tokens-100000")
    assert sum(delta.is_token for delta in deltas) == 100_000
    assert [delta.usage.completion_tokens for delta in deltas if delta.usage] == [100_000]


def test_it_takes_a_token_of_a_megabyte(row: Row) -> None:
    assert len(text(stream(row, "big-token"))) == 1_000_000


@pytest.mark.parametrize("model", ["odd-model", "odd-finish"])
def test_it_hands_on_only_strings_that_every_database_takes(row: Row, model: str) -> None:
    """Whether it understands the rest of such an answer, or calls it malformed, is its own affair."""
    received: list[Delta] = []

    async def use(adapter: OpenAICompatible) -> None:
        with suppress(errors.MalformedAnswer):
            async for delta in adapter.stream(ChatRequest(model=model, messages=HELLO)):
                received.append(delta)  # noqa: PERF401 (a comprehension would lose them all)

    run(OpenAICompatible(row), use)
    assert text(received).startswith(PARTIAL)
    for value in [value for d in received for value in (d.text, d.model, d.finish_reason) if value is not None]:
        assert isinstance(value, str)
        assert "\x00" not in value
        value.encode()


@pytest.mark.parametrize("model", ["usage-missing", "odd-usage"])
def test_usage_that_is_missing_or_makes_no_sense_is_none(row: Row, model: str) -> None:
    assert [delta.usage for delta in stream(row, model) if delta.usage] == []


@pytest.mark.parametrize(
    ("model", "usage"),
    [("usage-in-choice", Usage(4, 3, 7, cached_tokens=1, reasoning_tokens=2)), ("usage-of-groq", Usage(4, 3, 7))],
)
def test_it_finds_the_usage_wherever_it_is(row: Row, model: str, usage: Usage) -> None:
    assert [delta.usage for delta in stream(row, model) if delta.usage] == [usage]


@pytest.mark.parametrize("model", ["reasoning", "reasoning-field", "thinking-parts", "json-instead-of-sse"])
def test_it_keeps_reasoning_apart_from_the_answer(row: Row, model: str) -> None:
    deltas = stream(row, model)
    assert (text(deltas), reasoning(deltas), finish(deltas)) == (PARTIAL, THOUGHT, ["stop"])


@pytest.mark.parametrize("model", ["tool-calls", "tool-calls-whole", "tool-calls-same-index", "json-tool-calls"])
def test_it_hands_on_tool_calls_however_they_come(row: Row, model: str) -> None:
    deltas = stream(row, model)
    whole: dict[int, list[str]] = {}
    for call in [call for delta in deltas for call in delta.tool_calls]:
        joined = whole.setdefault(call.index, ["", "", ""])
        whole[call.index] = [joined[0] + call.id, joined[1] + call.name, joined[2] + call.arguments]
    assert whole == {
        i: [call["id"], call["function"]["name"], call["function"]["arguments"]] for i, call in enumerate(CALLS)
    }
    assert (text(deltas), finish(deltas)) == ("", ["tool_calls"])


@pytest.mark.parametrize(("model", "answer"), [("length", PARTIAL), ("length-empty", "")])
def test_an_answer_that_was_cut_short_is_one(row: Row, model: str, answer: str) -> None:
    deltas = stream(row, model)
    assert (text(deltas), finish(deltas)) == (answer, ["length"])


@pytest.mark.parametrize(("model", "answer"), [("filtered", PARTIAL), ("filtered-at-once", "")])
def test_a_filtered_answer_fails_after_all_of_it_has_come(row: Row, model: str, answer: str) -> None:
    before, error = fails(row, model)
    assert (text(before), finish(before)) == (answer, ["content_filter"])
    assert [delta.usage for delta in before if delta.usage] != []
    assert type(error) is errors.ContentFiltered


def test_an_answer_without_a_word_is_a_failure(row: Row) -> None:
    before, error = fails(row, "empty")
    assert (text(before), finish(before), type(error)) == ("", ["stop"], errors.EmptyAnswer)
    assert error.provider_request_id == REQUEST_ID


def test_an_answer_of_reasoning_alone_is_one_without_a_word(row: Row) -> None:
    before, error = fails(row, "reasoning-only")
    assert (reasoning(before), type(error)) == (THOUGHT, errors.EmptyAnswer)


@pytest.mark.parametrize(
    ("model", "kind", "status"),
    [
        ("status-400", errors.BadRequest, 400),
        ("status-400-context", errors.ContextTooLong, 400),
        ("status-400-filter", errors.ContentFiltered, 400),
        ("status-401", errors.AuthenticationFailed, 401),
        ("status-402", errors.QuotaExhausted, 402),
        ("status-403", errors.AuthenticationFailed, 403),
        ("status-404-model", errors.UnknownModel, 404),
        ("status-404-path", errors.MalformedAnswer, 404),
        ("status-408", errors.Timeout, 408),
        ("status-409", errors.ServerError, 409),
        ("status-413", errors.ContextTooLong, 413),
        ("status-413-tokens", errors.ContextTooLong, 413),
        ("status-429", errors.RateLimited, 429),
        ("status-429-quota", errors.QuotaExhausted, 429),
        ("status-498", errors.ServerError, 498),
        ("status-500", errors.ServerError, 500),
        ("status-503", errors.ServerError, 503),
        ("status-529", errors.ServerError, 529),
        ("endless-error", errors.ServerError, 500),
        ("redirect", errors.MalformedAnswer, 307),
    ],
)
def test_it_translates_a_refusal(row: Row, model: str, kind: type[errors.ProviderError], status: int) -> None:
    before, error = fails(row, model)
    assert before == []
    assert type(error) is kind
    assert (error.provider_status, error.provider_request_id) == (status, REQUEST_ID)


def test_it_asks_only_once(row: Row, provider: Provider) -> None:
    """Retries are not the adapter's to decide, nor are redirects to be followed: they would carry the prompt away."""
    for model in ("status-500", "status-429", "redirect", "drop-mid-stream"):
        provider.clear()
        fails(row, model)
        assert len(provider.received) == 1


def test_it_reads_no_more_of_an_error_than_it_needs(row: Row, provider: Provider) -> None:
    assert fails(row, "endless-error")[1].reason == "x" * 500
    assert provider.last.hung_up.wait(5)


@pytest.mark.parametrize(
    ("model", "least"), [("status-429", 7), ("retry-after-huge", 3600), ("retry-after-date", 86_400)]
)
def test_it_keeps_the_wait_that_a_provider_asks_for(row: Row, model: str, least: float) -> None:
    wait = fails(row, model)[1].retry_after
    assert wait is not None
    assert least <= wait < 3 * least


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("drop-mid-stream", errors.Unreachable),
        ("close-mid-stream", errors.Unreachable),
        ("error-in-stream", errors.ServerError),
        ("limit-in-stream", errors.RateLimited),
        ("error-event", errors.ServerError),
        ("error-event-bare", errors.ServerError),
        ("error-finish", errors.ServerError),
        ("error-finish-bare", errors.ServerError),
        ("no-finish", errors.MalformedAnswer),
        ("done-without-finish", errors.MalformedAnswer),
        ("broken-call", errors.MalformedAnswer),
        ("garbage", errors.MalformedAnswer),
        ("endless-event", errors.MalformedAnswer),
    ],
)
def test_it_hands_on_what_came_before_a_stream_breaks(row: Row, model: str, kind: type[errors.ProviderError]) -> None:
    before, error = fails(row, model)
    assert text(before) == PARTIAL
    assert type(error) is kind
    assert error.provider_request_id == REQUEST_ID
    assert error.cause


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("not-sse", errors.MalformedAnswer),
        ("html-200", errors.MalformedAnswer),
        ("empty-body", errors.MalformedAnswer),
        ("json-endless", errors.MalformedAnswer),
        ("gzip-broken", errors.MalformedAnswer),
        ("json-error-200", errors.RateLimited),
        ("reset-at-once", errors.Unreachable),
        ("no-http", errors.Unreachable),
    ],
)
def test_an_answer_that_is_none_is_a_failure(row: Row, model: str, kind: type[errors.ProviderError]) -> None:
    before, error = fails(row, model)
    assert (before, type(error)) == ([], kind)
    assert error.cause


def test_it_ends_an_answer_without_end(row: Row, provider: Provider) -> None:
    before, error = fails(row, "endless-answer")
    assert len(text(before)) == LONGEST_ANSWER
    assert (type(error), error.cause) == (errors.MalformedAnswer, "an answer without end")


@pytest.mark.parametrize(("model", "kind"), [("flaky-2", errors.ServerError), ("limited-2-b", errors.RateLimited)])
def test_the_fake_refuses_as_often_as_its_name_says(row: Row, model: str, kind: type[errors.ProviderError]) -> None:
    assert type(fails(row, model)[1]) is kind
    assert type(fails(row, f"{model}-other")[1]) is kind
    assert type(fails(row, model)[1]) is kind
    assert text(stream(row, model)) == f"{ECHO}hello there"


@pytest.mark.parametrize("model", ["slow-headers", "hang", "hang-mid-stream", "comments-only"])
def test_it_waits_as_long_as_its_caller_does(row: Row, provider: Provider, model: str) -> None:
    async def use(adapter: OpenAICompatible) -> None:
        tokens = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3), aclosing(adapter.stream(ChatRequest(model=model, messages=HELLO))) as all:
                async for delta in all:
                    tokens += delta.is_token
            pytest.fail("it ended")
        assert tokens == (3 if model == "hang-mid-stream" else 0)
        assert await asyncio.to_thread(provider.last.hung_up.wait, 5)

    run(OpenAICompatible(row), use)


@pytest.mark.parametrize("model", ["slow-headers", "comments-only"])
def test_an_answer_that_comes_late_is_one(row: Row, provider: Provider, model: str) -> None:
    async def use(adapter: OpenAICompatible) -> str:
        asked = asyncio.create_task(drain(adapter, model))
        await asyncio.to_thread(provider.wait)
        provider.release()
        return text(await asked)

    assert run(OpenAICompatible(row), use)


async def drain(adapter: OpenAICompatible, model: str) -> list[Delta]:
    return [delta async for delta in adapter.stream(ChatRequest(model=model, messages=HELLO))]


def test_a_provider_that_is_not_there_is_unreachable(row: Row) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = replace(row, base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        error = fails(nobody, "echo")[1]
    assert (type(error), error.cause) == (errors.Unreachable, "ClientConnectorError (ConnectionRefusedError)")


def test_a_name_that_does_not_resolve_is_unreachable(row: Row) -> None:
    error = fails(replace(row, base_url="http://nobody.invalid/v1"), "echo")[1]
    assert (type(error), error.cause) == (errors.Unreachable, "ClientConnectorDNSError (gaierror)")


def test_a_server_that_speaks_no_tls_is_unreachable(row: Row) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This is HTTP\r\n\r\n")
        writer.close()

    async def scene() -> errors.ProviderError:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server:
            return (await asyncio.to_thread(fails, replace(row, base_url=url), "echo"))[1]

    error = asyncio.run(scene())
    assert (type(error), error.cause) == (errors.Unreachable, "ClientConnectorSSLError (SSLError)")


def test_the_messages_and_the_extra_parameters_go_as_they_are(row: Row, provider: Provider) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    messages: list[ChatMessage] = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "content": "18 degrees", "tool_call_id": "call_1"},
    ]
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    extra = {"tools": tools, "tool_choice": "auto", "response_format": {"type": "json_object"}}
    assert text(stream(row, messages=messages, extra=extra)) == f"{ECHO}18 degrees"
    body = provider.last.body
    assert body["messages"] == messages
    assert {name: body[name] for name in extra} == extra


def test_a_provider_that_wants_reasoning_back_gets_it_with_every_answer(row: Row, provider: Provider) -> None:
    thinks = {**CALLS[0], "extra_content": {"reasoning_content": THOUGHT}}
    messages: list[ChatMessage] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [thinks, CALLS[1]]},
        {"role": "tool", "content": "18 degrees", "tool_call_id": "call_1"},
        {"role": "tool", "content": "noon", "tool_call_id": "call_2"},
        {"role": "assistant", "content": "Warm."},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
    ]
    stream(replace(row, wants_reasoning=True), "tokens-1", messages=messages)
    sent = provider.last.body["messages"]
    assert [message.get("reasoning_content") for message in sent] == [None, THOUGHT, None, None, "", ""]
    assert sent[1]["tool_calls"] == sent[5]["tool_calls"] == CALLS
    assert [{**message, "reasoning_content": ""} for message in sent[2:4]] == [
        {**message, "reasoning_content": ""} for message in messages[2:4]
    ]


def test_one_connection_serves_one_turn_after_the_other(row: Row, provider: Provider) -> None:
    async def use(adapter: OpenAICompatible) -> None:
        for _ in range(5):
            await drain(adapter, "echo")

    run(OpenAICompatible(row), use)
    assert provider.connections == 1


def test_no_error_shows_the_key_or_the_providers_words(row: Row) -> None:
    _, error = fails(row, "status-401")
    assert "fake-secret" in error.reason, "the provider did echo it"
    assert "fake-secret" not in f"{error} {error!r} {error.facts()}"
    assert error.__cause__ is None
    assert error.__context__ is None


def test_closing_the_stream_hangs_up_on_the_provider(row: Row, provider: Provider) -> None:
    async def use(adapter: OpenAICompatible) -> None:
        async with aclosing(adapter.stream(ChatRequest(model="hang-mid-stream", messages=HELLO))) as deltas:
            async for delta in deltas:
                assert delta.text
                break
        assert await asyncio.to_thread(provider.last.hung_up.wait, 5)

    run(OpenAICompatible(row), use)


def test_cancelling_the_stream_hangs_up_on_the_provider(row: Row, provider: Provider) -> None:
    async def use(adapter: OpenAICompatible) -> None:
        begun = asyncio.Event()

        async def drain() -> None:
            async for _ in adapter.stream(ChatRequest(model="hang-mid-stream", messages=HELLO)):
                begun.set()

        task = asyncio.create_task(drain())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(provider.last.hung_up.wait, 5)

    run(OpenAICompatible(row), use)


def test_it_lists_the_models(row: Row) -> None:
    assert "echo" in run(OpenAICompatible(row), lambda adapter: adapter.list_models())


def test_a_list_that_does_not_come_is_a_timeout(row: Row, provider: Provider) -> None:
    provider.holds_models = True
    with pytest.raises(errors.Timeout):
        run(OpenAICompatible(replace(row, timeouts=Timeouts(first_token=0.2))), lambda adapter: adapter.list_models())


def test_it_translates_the_failure_of_a_list_too(row: Row, dying_provider: Provider) -> None:
    dying_provider.kill()
    with pytest.raises(errors.Unreachable):
        run(OpenAICompatible(replace(row, base_url=dying_provider.url)), lambda adapter: adapter.list_models())
