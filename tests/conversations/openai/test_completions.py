"""POST /v1/chat/completions with OpenAI's own client: answers in one document, and what the provider gets for them."""

import asyncio
import re
import secrets
from collections.abc import Iterable
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.conversations.openai.conftest import async_sdk_of
from tests.fakes.answers import CALLS, PARTIAL, SIGNATURE, THOUGHT
from tests.fakes.behaviours import ECHO
from tests.fakes.client import Client
from tests.fakes.provider import Provider
from tests.fakes.waiting import poll

HELLO: Iterable[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
PICTURE = "https://example.com/cat.png"
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Of a city.", "parameters": {"type": "object"}},
}


class City(BaseModel):
    name: str


@pytest.mark.usefixtures("rows")
def test_a_completion_is_as_openais(sdk: openai.OpenAI, provider: Provider) -> None:
    answer = sdk.chat.completions.create(model="echo", messages=HELLO)
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", answer.id)
    assert (answer.object, answer.model) == ("chat.completion", "echo-2026")
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content) == ("assistant", f"{ECHO}hello")
    assert (choice.message.refusal, choice.message.tool_calls) == (None, None)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert provider.last.messages == [{"role": "user", "content": "hello"}], "and no system prompt of the server's"


def test_the_headers_are_openais_beside_ours(sdk: openai.OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    assert raw.request_id == raw.headers["X-Request-ID"]
    assert raw.headers["openai-version"] == "2020-10-01"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["Content-Type"] == "application/json"
    assert "X-Conversation-ID" not in raw.headers


@pytest.mark.usefixtures("rows")
def test_messages_of_every_role_go_to_the_provider_as_they_are(sdk: openai.OpenAI, provider: Provider) -> None:
    call = CALLS[0]
    image = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image], "name": "ann"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call | SIGNATURE]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny.", "tool_calls": None},
        {"role": "user", "content": "thanks"},
    ]
    sdk.chat.completions.create(model="echo", messages=messages)
    assert provider.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be\nkind."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image], "name": "ann"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [call | SIGNATURE]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "thanks"},
    ]


def test_parameters_go_to_the_provider_the_known_and_the_unknown(sdk: openai.OpenAI, provider: Provider) -> None:
    sdk.chat.completions.create(
        model="echo",
        messages=HELLO,
        temperature=0.5,
        max_tokens=7,
        top_p=0.9,
        seed=42,
        stop=["END"],
        presence_penalty=0.1,
        user="u-1",
        reasoning_effort="low",
        n=1,
        metadata={"ticket": "A-17"},
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        extra_body={"top_k": 5, "provider": {"order": ["a", "b"]}, "nothing": None},
    )
    body = provider.last.body
    assert body.pop("messages")
    assert body == {
        "model": "echo",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 7,
        "top_p": 0.9,
        "seed": 42,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "user": "u-1",
        "reasoning_effort": "low",
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        "top_k": 5,
        "provider": {"order": ["a", "b"]},
    }


def test_the_newer_name_of_max_tokens_wins(sdk: openai.OpenAI, provider: Provider) -> None:
    sdk.chat.completions.create(model="echo", messages=HELLO, max_tokens=7, max_completion_tokens=9)
    assert provider.last.body["max_tokens"] == 9
    assert "max_completion_tokens" not in provider.last.body


def test_tools_make_a_round_trip(sdk: openai.OpenAI, provider: Provider) -> None:
    messages: list[Any] = [{"role": "user", "content": "weather?"}]
    answer = sdk.chat.completions.create(model="tool-calls", messages=messages, tools=[WEATHER]).choices[0]
    assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
    assert [call.to_dict() for call in answer.message.tool_calls or []] == CALLS
    messages.append(answer.message)
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": "fine"} for call in CALLS]
    again = sdk.chat.completions.create(model="echo", messages=messages, tools=[WEATHER])
    assert again.choices[0].message.content == f"{ECHO}fine"
    assert provider.last.messages[1] == {"role": "assistant", "content": None, "tool_calls": CALLS}


def test_what_a_provider_wants_back_beside_its_calls_makes_the_round_trip(
    sdk: openai.OpenAI, provider: Provider
) -> None:
    answer = sdk.chat.completions.create(model="signed-call", messages=HELLO, tools=[WEATHER]).choices[0].message
    assert [call.to_dict()["extra_content"] for call in answer.tool_calls or []][:1] == [SIGNATURE["extra_content"]]
    results: list[Any] = [{"role": "tool", "tool_call_id": c.id, "content": "x"} for c in answer.tool_calls or []]
    sdk.chat.completions.create(model="echo", messages=[*HELLO, answer, *results])  # type: ignore[list-item]
    assert provider.last.messages[1]["tool_calls"][0]["extra_content"] == SIGNATURE["extra_content"]


def test_reasoning_comes_when_it_is_asked_for(sdk: openai.OpenAI, provider: Provider) -> None:
    plain = sdk.chat.completions.create(model="reasoning", messages=HELLO).choices[0].message
    assert (plain.content, plain.model_extra) == (PARTIAL, {})
    asked = sdk.chat.completions.create(model="reasoning", messages=HELLO, extra_body={"include_reasoning": True})
    assert asked.choices[0].message.model_extra == {"reasoning_content": THOUGHT}
    assert "include_reasoning" not in provider.last.body


def test_usage_that_nobody_has_counted_is_marked(sdk: openai.OpenAI) -> None:
    usage = sdk.chat.completions.create(model="usage-missing", messages=HELLO).usage
    assert usage is not None
    assert usage.model_extra == {"estimated": True}
    cached = sdk.chat.completions.create(model="usage-in-choice", messages=HELLO).usage
    assert cached is not None
    assert cached.prompt_tokens_details is not None
    assert (cached.model_extra, cached.prompt_tokens_details.cached_tokens) == ({}, 1)
    assert cached.completion_tokens_details is not None
    assert cached.completion_tokens_details.reasoning_tokens == 2


def test_a_refusal_is_one_for_the_client_and_goes_on_as_what_was_said(sdk: openai.OpenAI, provider: Provider) -> None:
    """Taken for content, it would be parsed, and an error."""
    answer = sdk.chat.completions.parse(model="refusal", messages=HELLO, response_format=City).choices[0].message
    assert (answer.refusal, answer.content, answer.parsed) == (f"{PARTIAL}no.", None, None)
    sdk.chat.completions.create(model="echo", messages=[*HELLO, answer, *HELLO])  # type: ignore[list-item]
    assert provider.last.messages[1] == {"role": "assistant", "content": f"{PARTIAL}no."}


def test_messages_may_have_what_the_clients_objects_have(sdk: openai.OpenAI, provider: Provider) -> None:
    """Nulls, a refusal among the parts, and all that is in a dump of an answer."""
    answer = sdk.chat.completions.create(model="tool-calls", messages=HELLO, tools=[WEATHER]).choices[0].message
    images: list[Any] = [
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": detail}} for detail in (None, "original")
    ]
    messages: list[Any] = [
        {"role": "system", "content": "Be brief.", "name": None},
        {"role": "user", "content": images, "name": None},
        answer.model_dump(),
        *({"role": "tool", "tool_call_id": call["id"], "content": "fine"} for call in CALLS),
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}], "name": None},
        {"role": "user", "content": "why?"},
    ]
    sdk.chat.completions.create(model="echo", messages=messages)
    plain = {"type": "image_url", "image_url": {"url": PICTURE}}
    assert provider.last.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [plain, images[1]]},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        *messages[3:5],
        {"role": "assistant", "content": "I cannot."},
        {"role": "user", "content": "why?"},
    ]


def test_the_prompt_is_never_cut(sdk: openai.OpenAI, provider: Provider) -> None:
    """The fake provider's budget for history is 6,000 tokens; here it has to say itself what is too much."""
    messages: list[Any] = [{"role": "user", "content": f"{n} {'word ' * 4_000}"} for n in range(5)]
    sdk.chat.completions.create(model="tokens-1", messages=messages)
    assert provider.last.messages == messages


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"store": True}])
def test_a_repeated_request_is_asked_and_paid_once(client: Client, provider: Provider, more: dict[str, Any]) -> None:
    body = {"model": "tokens-3", "messages": HELLO, **more}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first, second = (client.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert first.headers.get("X-Conversation-ID") == second.headers.get("X-Conversation-ID")
    assert len(provider.chats) == 1


def test_a_stream_with_a_key_is_replayed_once_it_has_ended(client: Client, provider: Provider) -> None:
    body, headers = {"model": "hang-mid-stream", "messages": HELLO, "stream": True}, {"Idempotency-Key": "stream-1"}
    with client.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as first:
        read = next(first.iter_raw())
    early = client.post("/v1/chat/completions", json=body, headers=headers)
    assert early.json()["error"]["code"] == "idempotency_in_progress"
    assert (early.status_code, early.headers["Retry-After"]) == (409, "1")
    assert "x-should-retry" not in early.headers
    provider.release()
    replayed = poll(lambda: (r := client.post("/v1/chat/completions", json=body, headers=headers)).is_success and r)
    assert replayed.content.startswith(read)
    assert replayed.content.endswith(b"data: [DONE]\n\n")
    assert len(provider.chats) == 1


def test_the_async_client_gets_the_same(client: Client) -> None:
    async def ask() -> list[str | None]:
        async with async_sdk_of(client) as sdk:
            answers = await asyncio.gather(
                *(sdk.chat.completions.create(model="echo", messages=say(str(n))) for n in range(5))
            )
            return [answer.choices[0].message.content for answer in answers]

    assert asyncio.run(ask()) == [f"{ECHO}{n}" for n in range(5)]


def say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]
