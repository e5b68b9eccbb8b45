"""The fake provider's good answers, in every dialect, at every pace and of every size."""

import asyncio
import json
from typing import Any

from tests.fakes.exchange import Exchange, text_of

PARTIAL = "one two three "
"""What an answer that breaks off has said before."""
ECHO = "You said: "
FLOOD = 6_000_000
"""More characters than the buffers between the server and a reader that takes nothing hold."""
THOUGHT = "Let me think. "
"""What a model that reasons says to itself, before it answers PARTIAL."""
CALLS: list[dict[str, Any]] = [
    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": '{"zone": "CET"}'}},
]
"""What every model that calls tools calls."""
SIGNATURE = {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}


async def echo(x: Exchange) -> None:
    """The last message's text, word by word."""
    await x.start()
    for word in f"{ECHO}{text_of(x.asked['messages'][-1]['content'])}".split(" "):
        await x.token(word if x.tokens == 0 else f" {word}")
    await x.stop()


async def tokens(x: Exchange) -> None:
    await x.start()
    for _ in range(int(x.model.removeprefix("tokens-"))):
        await x.token("tok ")
    await x.stop()


async def slow(x: Exchange) -> None:
    """Two seconds of tokens."""
    await x.start()
    for _ in range(40):
        await x.token("tok ")
        await asyncio.sleep(0.05)
    await x.stop()


async def slow_body(x: Exchange) -> None:
    """A token every 0.3 s, for half a minute."""
    await x.start()
    for _ in range(100):
        await x.token("tok ")
        await asyncio.sleep(0.3)
    await x.stop()


async def slow_headers(x: Exchange) -> None:
    """The first line of the head, and the rest when the test releases it."""
    await x.write(b"HTTP/1.1 200 OK\r\n")
    await x.held()
    x.begun = True
    await echo(x)


async def partial(x: Exchange) -> None:
    await x.start()
    for word in ("one ", "two ", "three "):
        await x.token(word)


async def said(x: Exchange, reason: Any = "stop") -> None:
    await partial(x)
    await x.stop(reason)


async def flaky(x: Exchange) -> None:
    """`flaky-N`: 503 to the first N who ask for just this name, then an echo."""
    await refuse_first(x, 503, {})


async def limited(x: Exchange) -> None:
    """`limited-N`: the same with 429."""
    await refuse_first(x, 429, {"Retry-After": "0"})


async def refuse_first(x: Exchange, status: int, headers: dict[str, str]) -> None:
    if x.before < int(x.model.split("-")[1]):
        await x.json(status, {"error": {"message": "Not yet", "code": None}}, headers)
    else:
        await echo(x)


async def flood(x: Exchange) -> None:
    """FLOOD characters as fast as they go, then silence."""
    await x.start()
    for _ in range(FLOOD // 50_000):
        await x.token("x" * 50_000)
    await x.held()
    await x.stop()


async def hang(x: Exchange) -> None:
    await x.held()
    await echo(x)


async def big_token(x: Exchange) -> None:
    """A megabyte in one event."""
    await x.start()
    await x.token("x" * 1_000_000)
    await x.stop()


async def nul(x: Exchange) -> None:
    """Text that PostgreSQL cannot store, and half of a surrogate pair, which UTF-8 cannot encode."""
    await x.start()
    await x.token("a\x00b")
    await x.token("c\ud83dd")
    await x.stop()


async def utf8_split(x: Exchange) -> None:
    """Each byte of the events in a chunk and a packet of its own."""
    await x.start()
    answer = {"choices": [{"delta": {"content": "Grüße 🌍"}, "finish_reason": "stop"}]}
    for byte in f"data: {json.dumps(answer, ensure_ascii=False)}\n\ndata: [DONE]\n\n".encode():
        await x.chunk(bytes([byte]))
        await asyncio.sleep(0)
    await x.end()


async def crlf(x: Exchange) -> None:
    x.newline = "\r\n"
    await echo(x)


async def zipped(x: Exchange) -> None:
    x.gzip()
    await echo(x)


async def multi_line(x: Exchange) -> None:
    """Each event's JSON on many lines of data."""
    x.indent = 1
    await echo(x)


async def comments(x: Exchange) -> None:
    """Comments and fields besides `data`, as OpenRouter and others send them to keep a connection open."""
    await x.start()
    await x.chunk(b": PROCESSING\n\nevent: message\nid: 1\nretry: 100\n")
    await x.token("fine")
    await x.chunk(b": PROCESSING\n\n")
    await x.token(None)
    await x.stop()


async def pings(x: Exchange) -> None:
    """As this server sends them itself."""
    await x.start()
    for token in ("fi", "ne"):
        await x.chunk(b": ping\n\n")
        await x.token(token)
    await x.chunk(b": ping\n\n")
    await x.stop()


async def no_done(x: Exchange) -> None:
    """A finish reason, but no [DONE]."""
    await partial(x)
    await x.event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    await x.end()


async def unterminated(x: Exchange) -> None:
    """The event with the finish reason lacks the empty line after it."""
    await partial(x)
    last = {"choices": [{"index": 0, "delta": {"content": "four"}, "finish_reason": "stop"}]}
    await x.chunk(f"data: {json.dumps(last)}".encode())
    await x.end()


async def usage_missing(x: Exchange) -> None:
    x.with_usage = False
    await echo(x)


async def wrong_type(x: Exchange) -> None:
    """A good stream under the content type of a proxy that knows nothing of it."""
    x.content_type = "text/plain"
    await echo(x)


async def usage_in_choice(x: Exchange) -> None:
    """The usage comes with the finish reason, and counts cached tokens and those of the reasoning."""
    await partial(x)
    details = {"prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 2}}
    usage = {**x.usage(), **details}
    await x.event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=usage)
    await x.data("[DONE]")
    await x.end()


async def usage_of_groq(x: Exchange) -> None:
    await partial(x)
    last = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    await x.event(choices=last, x_groq={"id": "req_1", "usage": x.usage()})
    await x.data("[DONE]")
    await x.end()


async def calls_cut_off(x: Exchange) -> None:
    """The longest answer ends inside the arguments of the second call."""
    await x.start()
    for index, call in enumerate(CALLS):
        arguments = call["function"]["arguments"][: 8 if index else None]
        await x.delta(
            {"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": arguments}}]}
        )
    await x.stop("length")


async def length(x: Exchange) -> None:
    await said(x, "length")


async def length_empty(x: Exchange) -> None:
    """All of `max_tokens` went into what the provider keeps to itself."""
    await x.start()
    await x.stop("length")


async def reasoning(x: Exchange) -> None:
    """As DeepSeek, vLLM and llama.cpp have it."""
    await thinks(x, {"content": None, "reasoning_content": THOUGHT})


async def reasoning_field(x: Exchange) -> None:
    """As OpenRouter, Groq and Ollama have it."""
    await thinks(x, {"content": "", "reasoning": THOUGHT})


async def thinking_parts(x: Exchange) -> None:
    """As Mistral has it."""
    await thinks(x, {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}]})


async def thinks(x: Exchange, delta: dict[str, Any]) -> None:
    await x.start()
    await x.delta(delta)
    if isinstance(delta["content"], list):
        await x.delta({"content": [{"type": "text", "text": PARTIAL}]})
    else:
        await x.token(PARTIAL)
    await x.stop()


async def refusal(x: Exchange) -> None:
    """As OpenAI has it, of a model that will not answer."""
    await x.start()
    for piece in (PARTIAL, "no."):
        await x.delta({"content": None, "refusal": piece})
    await x.stop()


async def tool_calls(x: Exchange) -> None:
    """Two calls, their arguments in pieces, as OpenAI has it."""
    await x.start()
    for index, call in enumerate(CALLS):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        await x.delta({"tool_calls": [{**call, "index": index, "function": {"name": name, "arguments": ""}}]})
        for piece in (arguments[:5], arguments[5:]):
            await x.delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    await x.stop("tool_calls")


async def tool_calls_whole(x: Exchange) -> None:
    """Both in one delta, without an index, as Ollama once had it; the arguments of the second as an object."""
    first, second = CALLS
    parsed = {**second["function"], "arguments": json.loads(second["function"]["arguments"])}
    await x.start()
    await x.delta({"content": None, "tool_calls": [first, {**second, "function": parsed}]})
    await x.stop("tool_calls")


async def tool_calls_same_index(x: Exchange) -> None:
    """Each in a delta of its own, all with the index 0, as Ollama has it."""
    await x.start()
    for call in CALLS:
        await x.delta({"tool_calls": [{**call, "index": 0}]})
    await x.stop("tool_calls")


async def json_instead_of_sse(x: Exchange) -> None:
    """A server that knows nothing of `stream`."""
    message = {"role": "assistant", "content": PARTIAL, "reasoning_content": THOUGHT}
    await x.completion(message, "stop")


async def json_tool_calls(x: Exchange) -> None:
    await x.completion({"role": "assistant", "content": None, "tool_calls": CALLS}, "tool_calls")


async def thinking_call(x: Exchange) -> None:
    """A call after a thought, which DeepSeek wants back."""
    await x.start()
    await x.delta({"content": None, "reasoning_content": THOUGHT})
    await x.delta({"tool_calls": [{**CALLS[0], "index": 0}]})
    await x.stop("tool_calls")


async def signed_call(x: Exchange) -> None:
    """A call beside which Gemini wants its signature back."""
    await x.start()
    call = {"index": 0, "id": "call_signed", "function": {"name": "look_up", "arguments": "{}"}, **SIGNATURE}
    await x.delta({"tool_calls": [call]})
    await x.stop("tool_calls")
