"""The adapter against a provider on loopback: what it asks, what it hands on, and what it makes of every failure."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from providers import errors
from providers.base import ChatMessage, ChatRequest, Delta, Usage
from providers.openai_compatible import MAX_COUNT, OpenAICompatible
from providers.registry import PRESETS
from providers.registry import Provider as Row
from tests.fakes.behaviours import ECHO, PARTIAL
from tests.fakes.exchange import REQUEST_ID
from tests.fakes.provider import Provider

T = TypeVar("T")
HELLO: list[ChatMessage] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello there"}]


@pytest.fixture
def row(provider: Provider) -> Row:
    return Row(name="fake", label="Fake", base_url=provider.url, model="echo", api_key="fake-secret")


def run(row: Row, use: Callable[[OpenAICompatible], Coroutine[Any, Any, T]], read_timeout: float = 10) -> T:
    async def scene() -> T:
        adapter = OpenAICompatible(row, connect_timeout=2, read_timeout=read_timeout)
        try:
            return await use(adapter)
        finally:
            await adapter._client.close()

    return asyncio.run(scene())


def stream(row: Row, model: str = "echo", read_timeout: float = 10, **parameters: Any) -> list[Delta]:
    """The whole answer."""

    async def use(adapter: OpenAICompatible) -> list[Delta]:
        request = ChatRequest(model=model, messages=HELLO, **parameters)
        return [delta async for delta in adapter.stream(request)]

    return run(row, use, read_timeout)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def fails(row: Row, model: str, read_timeout: float = 10) -> tuple[str, errors.ProviderError]:
    """The text before the failure, and the failure."""
    before: list[Delta] = []

    async def use(adapter: OpenAICompatible) -> None:
        async for delta in adapter.stream(ChatRequest(model=model, messages=HELLO)):
            before.append(delta)  # noqa: PERF401 (a comprehension would lose them all)

    with pytest.raises(errors.ProviderError) as error:
        run(row, use, read_timeout)
    return text(before), error.value


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
        ("empty", ""),
        ("no-done", PARTIAL),
        ("unterminated", f"{PARTIAL}four"),
        ("filtered", PARTIAL),
        ("nul", "abc?d"),
        ("tokens-200", "tok " * 200),
    ],
)
def test_it_understands_every_dialect_of_an_event_stream(row: Row, model: str, answer: str) -> None:
    assert text(stream(row, model)) == answer


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

    run(row, use)
    assert text(received).startswith(PARTIAL)
    for value in [value for d in received for value in (d.text, d.model, d.finish_reason) if value is not None]:
        assert isinstance(value, str)
        assert "\x00" not in value
        value.encode()


def test_it_hands_on_only_counts_that_a_database_holds(row: Row) -> None:
    [usage] = [delta.usage for delta in stream(row, "odd-usage") if delta.usage]
    for count in (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens):
        assert 0 <= count <= MAX_COUNT


@pytest.mark.parametrize(
    ("model", "kind", "status"),
    [
        ("status-400", errors.BadRequest, 400),
        ("status-400-context", errors.ContextTooLong, 400),
        ("status-400-filter", errors.ContentFiltered, 400),
        ("status-401", errors.AuthenticationFailed, 401),
        ("status-403", errors.AuthenticationFailed, 403),
        ("status-404-model", errors.UnknownModel, 404),
        ("status-408", errors.Timeout, 408),
        ("status-413", errors.ContextTooLong, 413),
        ("status-429", errors.RateLimited, 429),
        ("status-500", errors.ServerError, 500),
        ("status-503", errors.ServerError, 503),
        ("redirect", errors.MalformedAnswer, 307),
    ],
)
def test_it_translates_a_refusal(row: Row, model: str, kind: type[errors.ProviderError], status: int) -> None:
    before, error = fails(row, model)
    assert before == ""
    assert type(error) is kind
    assert (error.provider_status, error.provider_request_id) == (status, REQUEST_ID)


def test_it_asks_only_once(row: Row, provider: Provider) -> None:
    """Retries are not the adapter's to decide, nor are redirects to be followed: they would carry the prompt away."""
    for model in ("status-500", "status-429", "redirect", "drop-mid-stream"):
        provider.clear()
        fails(row, model)
        assert len(provider.received) == 1


def test_it_keeps_the_wait_that_a_provider_asks_for(row: Row) -> None:
    assert fails(row, "status-429")[1].retry_after == 7


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("drop-mid-stream", errors.Unreachable),
        ("close-mid-stream", errors.Unreachable),
        ("error-in-stream", errors.ServerError),
        ("limit-in-stream", errors.RateLimited),
        ("no-finish", errors.MalformedAnswer),
        ("garbage", errors.MalformedAnswer),
        ("endless-event", errors.MalformedAnswer),
    ],
)
def test_it_hands_on_what_came_before_a_stream_breaks(row: Row, model: str, kind: type[errors.ProviderError]) -> None:
    before, error = fails(row, model)
    assert before == PARTIAL
    assert type(error) is kind


@pytest.mark.parametrize("model", ["not-sse", "not-streamed"])
def test_it_refuses_an_answer_that_is_no_event_stream(row: Row, model: str) -> None:
    before, error = fails(row, model)
    assert (before, type(error)) == ("", errors.MalformedAnswer)


def test_silence_before_the_answer_is_a_timeout(row: Row) -> None:
    before, error = fails(row, "hang", read_timeout=0.2)
    assert (before, type(error)) == ("", errors.Timeout)


def test_silence_in_the_answer_is_a_timeout(row: Row) -> None:
    before, error = fails(row, "hang-mid-stream", read_timeout=0.2)
    assert (before, type(error)) == (PARTIAL, errors.Timeout)


def test_a_provider_that_is_not_there_is_unreachable(row: Row) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = replace(row, base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        assert type(fails(nobody, "echo")[1]) is errors.Unreachable


def test_no_error_shows_the_key_or_the_providers_words(row: Row) -> None:
    _, error = fails(row, "status-401")
    assert "fake-secret" in error.reason, "the provider did echo it"
    assert "fake-secret" not in f"{error} {error!r} {error.facts()}"
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_closing_the_stream_hangs_up_on_the_provider(row: Row, provider: Provider) -> None:
    async def use(adapter: OpenAICompatible) -> None:
        async with aclosing(adapter.stream(ChatRequest(model="hang-mid-stream", messages=HELLO))) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                assert delta.text
                break
        assert await asyncio.to_thread(provider.last.hung_up.wait, 5)

    run(row, use)


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

    run(row, use)


def test_it_lists_the_models(row: Row) -> None:
    assert "echo" in run(row, lambda adapter: adapter.list_models())


def test_it_translates_the_failure_of_a_list_too(row: Row, dying_provider: Provider) -> None:
    dying_provider.kill()
    with pytest.raises(errors.Unreachable):
        run(replace(row, base_url=dying_provider.url), lambda adapter: adapter.list_models())
