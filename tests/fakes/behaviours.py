"""What the fake provider does, by the model asked for. `tokens-N` streams N tokens; the other names are in NAMES."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.exchange import Exchange

Behaviour = Callable[[Exchange], Awaitable[None]]
PARTIAL = "one two three "
"""What an answer that breaks off has said before."""
ECHO = "You said: "


async def echo(x: Exchange) -> None:
    """The last message, word by word."""
    await x.start()
    for word in f"{ECHO}{x.asked['messages'][-1]['content']}".split(" "):
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


async def partial(x: Exchange) -> None:
    await x.start()
    for word in ("one ", "two ", "three "):
        await x.token(word)


async def flood(x: Exchange) -> None:
    """Ten megabytes as fast as they go, then silence."""
    await x.start()
    for _ in range(200):
        await x.token("x" * 50_000)
    await x.held()
    await x.stop()


async def hang(x: Exchange) -> None:
    await x.held()
    await echo(x)


async def hang_mid_stream(x: Exchange) -> None:
    await partial(x)
    await x.held()
    await x.token("four")
    await x.stop()


async def drop_mid_stream(x: Exchange) -> None:
    await partial(x)
    # A reset overtakes what is still on its way; the wait lets the text arrive.
    await asyncio.sleep(0.2)
    x.cut = True


async def close_mid_stream(x: Exchange) -> None:
    """Ends the connection in order, but in the middle of the body."""
    await partial(x)
    x.close = True


async def error_in_stream(x: Exchange) -> None:
    await partial(x)
    await x.data(json.dumps({"error": {"message": "The engine is overloaded", "type": "server_error"}}))
    await x.end()


async def limit_in_stream(x: Exchange) -> None:
    await partial(x)
    await x.data(json.dumps({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}))
    await x.end()


async def no_finish(x: Exchange) -> None:
    """The body ends in order, with neither a finish reason nor [DONE]."""
    await partial(x)
    await x.end()


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


async def garbage(x: Exchange) -> None:
    await partial(x)
    await x.data("{this is no JSON")
    await x.end()


async def endless_event(x: Exchange) -> None:
    await partial(x)
    for _ in range(9):
        await x.chunk(b"x" * 1_000_000)
    await x.end()


async def not_sse(x: Exchange) -> None:
    await x.start("text/html")
    await x.chunk(b"<html><body>Welcome to nginx!</body></html>")
    await x.end()


async def not_streamed(x: Exchange) -> None:
    """A server that knows nothing of `stream`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}
    await x.json(200, {"object": "chat.completion", "choices": [choice]})


async def usage_missing(x: Exchange) -> None:
    x.with_usage = False
    await echo(x)


async def odd_usage(x: Exchange) -> None:
    """Counts that no database holds, and one that is no number."""
    await partial(x)
    usage = '{"prompt_tokens": 1e999, "completion_tokens": -5, "total_tokens": "many"}'
    await x.data(f'{{"choices": [{{"delta": {{}}, "finish_reason": "stop"}}], "usage": {usage}}}')
    await x.end()


async def odd_finish(x: Exchange) -> None:
    await partial(x)
    await x.stop(reason=7)


async def odd_model(x: Exchange) -> None:
    """Names its model with an object, later with characters that no database takes."""
    await partial(x)
    await x.data(json.dumps({"model": {"name": "m"}, "choices": [{"delta": {"content": "four"}}]}))
    await x.data(json.dumps({"model": "m\x00\ud83d", "choices": [{"delta": {}, "finish_reason": "st\x00op"}]}))
    await x.end()


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


async def comments(x: Exchange) -> None:
    """Comments and fields besides `data`, as OpenRouter and others send them to keep a connection open."""
    await x.start()
    await x.chunk(b": PROCESSING\n\nevent: message\nid: 1\nretry: 100\n")
    await x.token("fine")
    await x.chunk(b": PROCESSING\n\n")
    await x.token(None)
    await x.stop()


async def empty(x: Exchange) -> None:
    await x.start()
    await x.stop()


async def filtered(x: Exchange) -> None:
    await partial(x)
    await x.stop("content_filter")


async def redirect(x: Exchange) -> None:
    await x.json(307, {}, {"Location": "/v1/elsewhere/chat/completions"})


def refusal(status: int, error: Any, headers: dict[str, str] | None = None) -> Behaviour:
    async def behaviour(x: Exchange) -> None:
        await x.json(status, {"error": error}, headers)

    return behaviour


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": code}


BEHAVIOURS: dict[str, Behaviour] = {
    "echo": echo,
    "slow": slow,
    "flood": flood,
    "hang": hang,
    "hang-mid-stream": hang_mid_stream,
    "drop-mid-stream": drop_mid_stream,
    "close-mid-stream": close_mid_stream,
    "error-in-stream": error_in_stream,
    "limit-in-stream": limit_in_stream,
    "no-finish": no_finish,
    "no-done": no_done,
    "unterminated": unterminated,
    "garbage": garbage,
    "endless-event": endless_event,
    "not-sse": not_sse,
    "not-streamed": not_streamed,
    "usage-missing": usage_missing,
    "odd-usage": odd_usage,
    "odd-finish": odd_finish,
    "odd-model": odd_model,
    "big-token": big_token,
    "nul": nul,
    "utf8-split": utf8_split,
    "crlf": crlf,
    "comments": comments,
    "empty": empty,
    "filtered": filtered,
    "redirect": redirect,
    "status-400": refusal(400, error("temperature: must be at most 1")),
    "status-400-context": refusal(
        400, error("This model's maximum context length is 8192 tokens.", "context_length_exceeded")
    ),
    "status-400-filter": refusal(
        400, error("The response was filtered due to our content management policy.", "content_filter")
    ),
    "status-401": refusal(401, error("Incorrect API key provided: fake-secret.", "invalid_api_key")),
    "status-403": refusal(403, error("Country, region, or territory not supported")),
    "status-404-model": refusal(404, error("The model `gone` does not exist.", "model_not_found")),
    "status-408": refusal(408, error("Timed out")),
    "status-413": refusal(413, error("Request too large")),
    "status-429": refusal(429, error("Rate limit reached", "rate_limit_exceeded"), {"Retry-After": "7"}),
    "status-429-odd": refusal(429, error("Rate limit reached"), {"Retry-After": "inf"}),
    "status-500": refusal(500, error("The server had an error")),
    "status-503": refusal(503, error("The engine is overloaded")),
}
NAMES = list(BEHAVIOURS)


def of(model: str) -> Behaviour:
    if model.startswith("tokens-"):
        return tokens
    return BEHAVIOURS.get(model, BEHAVIOURS["status-404-model"])
