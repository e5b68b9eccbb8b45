"""What the fake provider does, by the model asked for: `tokens-N` streams N tokens, `flaky-N` and `limited-N` refuse
the first N who ask for just that name (`flaky-2-mine`), the other names are in NAMES.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes import answers, faults
from tests.fakes.answers import ECHO, PARTIAL
from tests.fakes.exchange import Exchange

__all__ = ["BEHAVIOURS", "ECHO", "NAMES", "PARTIAL", "Behaviour", "error", "of", "refusal"]

Behaviour = Callable[[Exchange], Awaitable[None]]


def refusal(status: int, error: Any, headers: dict[str, str] | None = None) -> Behaviour:
    async def behaviour(x: Exchange) -> None:
        await x.json(status, {"error": error}, headers)

    return behaviour


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": code}


async def redirect(x: Exchange) -> None:
    await x.json(307, {}, {"Location": "/v1/elsewhere/chat/completions"})


LIMITED = error("Rate limit reached", "rate_limit_exceeded")
TOO_MANY_TOKENS = (
    "Request too large for model `x` in organization `org` service tier `on_demand` on tokens per minute (TPM): "
    "Limit 6000, Requested 9000, please reduce your message size and try again. "
    "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
)

ANSWERS: dict[str, Behaviour] = {
    "echo": answers.echo,
    "slow": answers.slow,
    "slow-body": answers.slow_body,
    "slow-headers": answers.slow_headers,
    "flood": answers.flood,
    "hang": answers.hang,
    "no-done": answers.no_done,
    "unterminated": answers.unterminated,
    "usage-missing": answers.usage_missing,
    "usage-in-choice": answers.usage_in_choice,
    "usage-of-groq": answers.usage_of_groq,
    "big-token": answers.big_token,
    "nul": answers.nul,
    "utf8-split": answers.utf8_split,
    "crlf": answers.crlf,
    "gzip": answers.zipped,
    "multi-line": answers.multi_line,
    "comments": answers.comments,
    "pings": answers.pings,
    "wrong-type": answers.wrong_type,
    "length": answers.length,
    "length-empty": answers.length_empty,
    "reasoning": answers.reasoning,
    "reasoning-field": answers.reasoning_field,
    "thinking-parts": answers.thinking_parts,
    "refusal": answers.refusal,
    "tool-calls": answers.tool_calls,
    "signed-call": answers.signed_call,
    "thinking-call": answers.thinking_call,
    "calls-cut-off": answers.calls_cut_off,
    "tool-calls-whole": answers.tool_calls_whole,
    "tool-calls-same-index": answers.tool_calls_same_index,
    "json-instead-of-sse": answers.json_instead_of_sse,
    "json-tool-calls": answers.json_tool_calls,
}
FAULTS: dict[str, Behaviour] = {
    "hang-mid-stream": faults.hang_mid_stream,
    "drop-mid-stream": faults.drop_mid_stream,
    "drop-when-released": faults.drop_when_released,
    "close-mid-stream": faults.close_mid_stream,
    "drop-after-finish": faults.drop_after_finish,
    "hang-after-done": faults.hang_after_done,
    "hang-after-finish": faults.hang_after_finish,
    "reset-at-once": faults.reset_at_once,
    "no-http": faults.no_http,
    "comments-only": faults.comments_only,
    "error-in-stream": faults.error_in_stream,
    "limit-in-stream": faults.limit_in_stream,
    "error-event": faults.error_event,
    "error-event-bare": faults.error_event_bare,
    "error-finish": faults.error_finish,
    "error-finish-bare": faults.error_finish_bare,
    "no-finish": faults.no_finish,
    "done-without-finish": faults.done_without_finish,
    "garbage": faults.garbage,
    "endless-event": faults.endless_event,
    "endless-answer": faults.endless_answer,
    "not-sse": faults.not_sse,
    "html-200": faults.html_200,
    "empty-body": faults.empty_body,
    "json-error-200": faults.json_error_200,
    "json-endless": faults.json_endless,
    "gzip-broken": faults.gzip_broken,
    "odd-usage": faults.odd_usage,
    "absurd-usage": faults.absurd_usage,
    "dear-usage": faults.dear_usage,
    "broken-call": faults.broken_call,
    "odd-finish": faults.odd_finish,
    "odd-model": faults.odd_model,
    "empty": faults.empty,
    "reasoning-only": faults.reasoning_only,
    "filtered": faults.filtered,
    "filtered-at-once": faults.filtered_at_once,
}
REFUSALS: dict[str, Behaviour] = {
    "redirect": redirect,
    "endless-error": faults.endless_error,
    "status-400": refusal(400, error("temperature: must be at most 1")),
    "status-400-context": refusal(
        400, error("This model's maximum context length is 8192 tokens.", "context_length_exceeded")
    ),
    "status-400-filter": refusal(
        400, error("The response was filtered due to our content management policy.", "content_filter")
    ),
    "status-401": refusal(401, error("Incorrect API key provided: fake-secret.", "invalid_api_key")),
    "status-402": refusal(402, error("Insufficient Balance")),
    "status-403": refusal(403, error("Country, region, or territory not supported")),
    "status-404-model": refusal(404, error("The model `gone` does not exist.", "model_not_found")),
    "status-404-path": refusal(404, error("Invalid URL (POST /v1/v1/chat/completions)")),
    "status-408": refusal(408, error("Timed out")),
    "status-409": refusal(409, error("Conflict")),
    "status-413": refusal(413, error("Request too large")),
    "status-413-tokens": refusal(413, error(TOO_MANY_TOKENS, "rate_limit_exceeded")),
    "status-429": refusal(429, LIMITED, {"Retry-After": "7"}),
    "status-429-odd": refusal(429, error("Rate limit reached"), {"Retry-After": "inf"}),
    "status-429-quota": refusal(
        429, error("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota")
    ),
    "retry-after-date": refusal(429, LIMITED, {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}),
    "retry-after-huge": refusal(429, LIMITED, {"Retry-After": "3600"}),
    "status-498": refusal(498, error("Flex tier capacity exceeded", "capacity_exceeded")),
    "status-500": refusal(500, error("The server had an error")),
    "status-503": refusal(503, error("The engine is overloaded")),
    "status-529": refusal(529, {"type": "overloaded_error", "message": "Overloaded"}),
}
BEHAVIOURS = {**ANSWERS, **FAULTS, **REFUSALS}
NAMES = list(BEHAVIOURS)
# By names that have a price.
PRICED: dict[str, Behaviour] = {"gpt-4o": answers.echo, "gpt-4o-mini": answers.hang}
NUMBERED: dict[str, Behaviour] = {"tokens": answers.tokens, "flaky": answers.flaky, "limited": answers.limited}


def of(model: str) -> Behaviour:
    kind, _, number = model.partition("-")
    if kind in NUMBERED and number[:1].isdecimal():
        return NUMBERED[kind]
    return (BEHAVIOURS | PRICED).get(model, BEHAVIOURS["status-404-model"])
