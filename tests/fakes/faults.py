"""The fake provider's bad answers: a 200 that is none, breaks off, or ends in another way than it should."""

import asyncio
import json

from providers.usage import MAX_COUNT
from tests.fakes.answers import THOUGHT, partial, said
from tests.fakes.exchange import Exchange

OVERLOADED = {"message": "The engine is overloaded", "type": "server_error"}


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


async def drop_when_released(x: Exchange) -> None:
    await partial(x)
    await x.held()
    x.cut = True


async def close_mid_stream(x: Exchange) -> None:
    """Ends the connection in order, but in the middle of the body."""
    await partial(x)
    x.close = True


async def drop_after_finish(x: Exchange) -> None:
    """The answer is whole; what would come after it is lost."""
    await partial(x)
    await x.event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    x.close = True


async def hang_after_done(x: Exchange) -> None:
    """The answer is whole, but its body has no end."""
    await partial(x)
    await x.event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    await x.data("[DONE]")
    await x.held()
    await x.end()


async def hang_after_finish(x: Exchange) -> None:
    """The answer is whole, but nothing says that it has ended."""
    await partial(x)
    await x.event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    await x.held()
    await x.end()


async def reset_at_once(x: Exchange) -> None:
    """Not a byte of an answer."""
    x.cut = True


async def no_http(x: Exchange) -> None:
    """Another kind of server."""
    await x.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    x.close = True


async def comments_only(x: Exchange) -> None:
    """Alive, but without a token until the test releases it."""
    await x.start()
    while not x.is_released:
        await x.chunk(b": PROCESSING\n\n")
        await asyncio.sleep(0.05)
    await x.token("done")
    await x.stop()


async def error_in_stream(x: Exchange) -> None:
    await partial(x)
    await x.data(json.dumps({"error": {"message": "The engine is overloaded", "type": "server_error"}}))
    await x.end()


async def limit_in_stream(x: Exchange) -> None:
    await partial(x)
    await x.data(json.dumps({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}))
    await x.end()


async def error_event(x: Exchange) -> None:
    """As Anthropic has it."""
    await partial(x)
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    await x.chunk(f"event: error\ndata: {json.dumps(error)}\n\n".encode())
    await x.end()


async def error_event_bare(x: Exchange) -> None:
    """No JSON at all."""
    await partial(x)
    await x.chunk(b"event: error\ndata: upstream connect error\n\n")
    await x.end()


async def error_finish(x: Exchange) -> None:
    """As OpenRouter has it."""
    await partial(x)
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    await x.event(choices=[last], error={"code": 502, "message": "Provider disconnected unexpectedly"})
    await x.data("[DONE]")
    await x.end()


async def error_finish_bare(x: Exchange) -> None:
    """As DeepSeek has it."""
    await said(x, "insufficient_system_resource")


async def no_finish(x: Exchange) -> None:
    """The body ends in order, with neither a finish reason nor [DONE]."""
    await partial(x)
    await x.end()


async def done_without_finish(x: Exchange) -> None:
    await partial(x)
    await x.data("[DONE]")
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


async def endless_answer(x: Exchange) -> None:
    """Nine megabytes, in events of a sane size."""
    await x.start()
    for _ in range(90):
        await x.token("x" * 100_000)
    await x.stop()


async def not_sse(x: Exchange) -> None:
    await x.start("text/html")
    await x.chunk(b"<html><body>Welcome to nginx!</body></html>")
    await x.end()


async def html_200(x: Exchange) -> None:
    await x.json(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})


async def empty_body(x: Exchange) -> None:
    await x.json(200, b"")


async def json_error_200(x: Exchange) -> None:
    await x.json(200, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})


async def json_endless(x: Exchange) -> None:
    x.content_type = "application/json"
    await x.start()
    await x.chunk(b'{"choices": "')
    for _ in range(9):
        await x.chunk(b"x" * 1_000_000)
    await x.end()


async def gzip_broken(x: Exchange) -> None:
    """Says that it is compressed, and is not."""
    x.head_fields["Content-Encoding"] = "gzip"
    await partial(x)
    await x.stop()


async def odd_usage(x: Exchange) -> None:
    """Counts that no database holds, and one that is no number."""
    await partial(x)
    usage = '{"prompt_tokens": 1e999, "completion_tokens": -5, "total_tokens": "many"}'
    await x.data(f'{{"choices": [{{"delta": {{}}, "finish_reason": "stop"}}], "usage": {usage}}}')
    await x.end()


async def counts(x: Exchange, tokens: int) -> None:
    """An answer of so many tokens, by its usage, of a model that has a high price."""
    await partial(x)
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens}
    await x.event(model="o1-pro", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=usage)
    await x.end()


async def absurd_usage(x: Exchange) -> None:
    await counts(x, 2**31 - 1)


async def dear_usage(x: Exchange) -> None:
    await counts(x, MAX_COUNT)


async def broken_call(x: Exchange) -> None:
    """In Gemini's own words: the model has not managed to call a tool."""
    await said(x, "function_call_filter: MALFORMED_FUNCTION_CALL")


async def odd_finish(x: Exchange) -> None:
    await partial(x)
    await x.stop(reason=7)


async def odd_model(x: Exchange) -> None:
    """Names its model with an object, later with characters that no database takes."""
    await partial(x)
    await x.data(json.dumps({"model": {"name": "m"}, "choices": [{"delta": {"content": "four"}}]}))
    await x.data(json.dumps({"model": "m\x00\ud83d", "choices": [{"delta": {}, "finish_reason": "st\x00op"}]}))
    await x.end()


async def empty(x: Exchange) -> None:
    await x.start()
    await x.stop()


async def reasoning_only(x: Exchange) -> None:
    await x.start()
    await x.delta({"reasoning_content": THOUGHT})
    await x.stop()


async def filtered(x: Exchange) -> None:
    await partial(x)
    await x.stop("content_filter")


async def filtered_at_once(x: Exchange) -> None:
    """In Gemini's own words."""
    await x.start()
    await x.stop("SAFETY")


async def endless_error(x: Exchange) -> None:
    """A 500 whose body goes on until the client has had enough."""
    x.status = "500 Broken"
    x.content_type = "text/plain"
    await x.start()
    for _ in range(500):
        await x.chunk(b"x" * 100_000)
    await x.end()
