"""Each way in which a provider fails, in the words of the presets' own APIs, and what it is to our callers."""

import json
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import ContentEncodingError
from multidict import CIMultiDict

from providers import errors
from providers.registry import PRESETS, Provider
from providers.translation import translate, translate_payload, translate_refusal
from tests.fakes.behaviours import TOO_MANY_TOKENS

PROVIDERS = {preset.name: preset for preset in PRESETS}
OPENAI = PROVIDERS["openai"]


class Refusal(NamedTuple):
    status: int
    headers: CIMultiDict[str]
    content: bytes


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> Refusal:
    content = body if isinstance(body, str) else json.dumps(body)
    return Refusal(status, CIMultiDict(headers or {}), content.encode())


def refused(refusal: Refusal, provider: Provider) -> errors.ProviderError:
    return translate_refusal(*refusal, provider)


def of_openai(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def of_anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": kind, "message": message, "type": kind, "param": None}}


def of_gemini(code: int, message: str, status: str) -> list[dict[str, Any]]:
    return [{"error": {"code": code, "message": message, "status": status}}]


PLAN = "You exceeded your current quota, please check your plan and billing details."
SPENT = "Your team has either used all available credits or reached its monthly spending limit."
UPGRADE = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"

CASES: list[tuple[str, int, Any, type[errors.ProviderError]]] = [
    ("openai", 401, of_openai("Incorrect API key provided: sk-x.", "invalid_api_key"), errors.AuthenticationFailed),
    ("openai", 402, of_openai("Insufficient balance"), errors.QuotaExhausted),
    ("openai", 403, of_openai("Country not supported", "unsupported_country"), errors.AuthenticationFailed),
    ("openai", 429, of_openai("Rate limit reached for gpt", "rate_limit_exceeded", "requests"), errors.RateLimited),
    ("openai", 429, of_openai("You exceeded your current quota", "insufficient_quota"), errors.QuotaExhausted),
    (
        "openai",
        400,
        of_openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        errors.ContextTooLong,
    ),
    ("openai", 404, of_openai("The model `x` does not exist", "model_not_found"), errors.UnknownModel),
    ("openai", 400, of_openai("Unsupported value: 'temperature'", "unsupported_value"), errors.BadRequest),
    ("openai", 400, of_openai("Invalid prompt: content policy", "content_policy_violation"), errors.ContentFiltered),
    ("openai", 422, of_openai("messages: field required"), errors.BadRequest),
    ("openai", 500, of_openai("The server had an error", None, "server_error"), errors.ServerError),
    ("openai", 503, of_openai("The engine is overloaded", None, "server_error"), errors.ServerError),
    ("openai", 502, "<html><h1>502 Bad Gateway</h1></html>", errors.ServerError),
    ("openai", 504, "upstream request timeout", errors.Timeout),
    ("openai", 408, of_openai("Request timed out"), errors.Timeout),
    ("openai", 413, of_openai("Request too large"), errors.ContextTooLong),
    ("openai", 307, "", errors.MalformedAnswer),
    ("anthropic", 401, of_anthropic("invalid x-api-key", "authentication_error"), errors.AuthenticationFailed),
    ("anthropic", 429, of_anthropic("would exceed your limit", "rate_limit_error"), errors.RateLimited),
    ("anthropic", 529, of_anthropic("Overloaded", "overloaded_error"), errors.ServerError),
    (
        "anthropic",
        400,
        of_anthropic("prompt is too long: 209031 tokens > 200000 maximum", "invalid_request_error"),
        errors.ContextTooLong,
    ),
    ("anthropic", 404, of_anthropic("model: claude-9", "not_found_error"), errors.UnknownModel),
    (
        "gemini",
        400,
        of_gemini(
            400,
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            "INVALID_ARGUMENT",
        ),
        errors.ContextTooLong,
    ),
    (
        "gemini",
        404,
        of_gemini(404, "models/gemini-0 is not found for API version v1main", "NOT_FOUND"),
        errors.UnknownModel,
    ),
    ("gemini", 429, of_gemini(429, "Resource has been exhausted", "RESOURCE_EXHAUSTED"), errors.RateLimited),
    ("gemini", 503, of_gemini(503, "The model is overloaded.", "UNAVAILABLE"), errors.ServerError),
    (
        "groq",
        413,
        of_openai("Request too large for model `x`: Limit 6000, Requested 9000", "rate_limit_exceeded", "tokens"),
        errors.ContextTooLong,
    ),
    (
        "groq",
        413,
        of_openai(TOO_MANY_TOKENS, "rate_limit_exceeded", "tokens"),
        errors.ContextTooLong,
    ),
    (
        "groq",
        413,
        of_openai(f"Rate limit reached for model `x`: Used 5034. Please try again in 4.77s. {UPGRADE}", None, "tokens"),
        errors.RateLimited,
    ),
    ("groq", 429, of_openai(f"Rate limit reached. {UPGRADE}", "rate_limit_exceeded", "tokens"), errors.RateLimited),
    ("groq", 498, of_openai("Flex tier capacity exceeded", "capacity_exceeded"), errors.ServerError),
    (
        "openai",
        429,
        of_openai(
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389.", None, "tokens"
        ),
        errors.ContextTooLong,
    ),
    ("openai", 429, of_openai(PLAN, "credit_balance_exhausted", "insufficient_quota"), errors.QuotaExhausted),
    ("openai", 429, of_openai("Over", "project_spend_limit_exceeded", "insufficient_quota"), errors.QuotaExhausted),
    ("openai", 429, of_openai("Over", "organization_usage_limit_exceeded"), errors.QuotaExhausted),
    ("openai", 429, of_openai("Your traffic grew too fast", "slow_down", "rate_limit_error"), errors.RateLimited),
    ("openai", 429, of_openai("Too many: 'This model's maximum context length'"), errors.RateLimited),
    ("openai", 409, of_openai("Conflict"), errors.ServerError),
    ("openai", 425, "", errors.ServerError),
    ("openai", 405, "", errors.MalformedAnswer),
    ("openai", 404, of_openai("Invalid URL (POST /v1/v1/chat/completions)"), errors.MalformedAnswer),
    ("openai", 404, "<html><title>404</title>Our models of cars</html>", errors.MalformedAnswer),
    ("openai", 404, {"detail": "Not Found"}, errors.MalformedAnswer),
    ("openai", 404, "", errors.MalformedAnswer),
    ("openrouter", 404, {"error": {"message": "No endpoints found for x/y.", "code": 404}}, errors.UnknownModel),
    (
        "openrouter",
        429,
        {"error": {"message": "free-models-per-day. Add 10 credits to unlock 1000 requests", "code": 429}},
        errors.RateLimited,
    ),
    ("openrouter", 403, {"error": {"message": "Key limit exceeded (total limit)", "code": 403}}, errors.QuotaExhausted),
    ("anthropic", 402, of_anthropic("Payment required", "billing_error"), errors.QuotaExhausted),
    (
        "anthropic",
        400,
        of_anthropic("Your credit balance is too low to access the Anthropic API.", "invalid_request_error"),
        errors.QuotaExhausted,
    ),
    (
        "anthropic",
        400,
        of_anthropic("You have reached your specified workspace API usage limits.", "invalid_request_error"),
        errors.QuotaExhausted,
    ),
    (
        "anthropic",
        429,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message": "Usage is paused until next month",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
        errors.QuotaExhausted,
    ),
    ("anthropic", 409, of_anthropic("Conflict", "conflict_error"), errors.ServerError),
    ("gemini", 429, of_gemini(429, f"{PLAN} Please retry in 17.3s.", "RESOURCE_EXHAUSTED"), errors.RateLimited),
    (
        "gemini",
        402,
        of_gemini(402, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"),
        errors.QuotaExhausted,
    ),
    (
        "gemini",
        429,
        of_gemini(429, "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED"),
        errors.QuotaExhausted,
    ),
    (
        "gemini",
        400,
        of_gemini(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"),
        errors.AuthenticationFailed,
    ),
    (
        "xai",
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."},
        errors.AuthenticationFailed,
    ),
    ("xai", 403, {"code": "permission-denied", "error": SPENT}, errors.QuotaExhausted),
    ("xai", 429, {"code": "resource-exhausted", "error": SPENT}, errors.QuotaExhausted),
    (
        "xai",
        403,
        {"code": "permission-denied", "error": "Your newly created team doesn't have any credits or licenses yet."},
        errors.QuotaExhausted,
    ),
    (
        "groq",
        400,
        of_openai("The model `x` has been decommissioned", "model_decommissioned"),
        errors.UnknownModel,
    ),
    ("groq", 400, of_openai("Please reduce the length of the messages", None), errors.ContextTooLong),
    (
        "openrouter",
        400,
        {"error": {"message": "x is not a valid model ID", "code": 400}},
        errors.UnknownModel,
    ),
    (
        "openrouter",
        403,
        {"error": {"message": "Input was flagged by moderation", "code": 403}},
        errors.ContentFiltered,
    ),
    ("openrouter", 402, {"error": {"message": "Insufficient credits", "code": 402}}, errors.QuotaExhausted),
    (
        "mistral",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        errors.UnknownModel,
    ),
    (
        "mistral",
        400,
        {"object": "error", "message": "Prompt contains 40000 tokens, too large for model with 32768", "code": "3051"},
        errors.ContextTooLong,
    ),
    ("deepseek", 400, of_openai("Model Not Exist"), errors.UnknownModel),
    (
        "deepseek",
        400,
        of_openai("This model's maximum context length is 65536 tokens. However, you requested 70000 tokens"),
        errors.ContextTooLong,
    ),
    ("deepseek", 400, of_openai("Content Exists Risk"), errors.ContentFiltered),
    (
        "xai",
        404,
        {"code": "Some requested entity was not found", "error": "The model x does not exist"},
        errors.UnknownModel,
    ),
    (
        "xai",
        400,
        {"code": "Client specified an invalid argument", "error": "maximum prompt length is 131072"},
        errors.ContextTooLong,
    ),
    ("ollama", 404, of_openai("model 'x' not found", None, "not_found_error"), errors.UnknownModel),
    (
        "local",
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
            }
        },
        errors.ContextTooLong,
    ),
]


@pytest.mark.parametrize(
    ("provider", "status", "body", "kind"), CASES, ids=[f"{c[0]}-{c[1]}-{c[3].code}" for c in CASES]
)
def test_it_knows_what_a_refusal_means(provider: str, status: int, body: Any, kind: type[errors.ProviderError]) -> None:
    error = refused(failure(status, body), PROVIDERS[provider])
    assert type(error) is kind
    assert error.provider_status == status
    assert error.provider == PROVIDERS[provider].label


def test_it_keeps_the_providers_request_id_and_the_wait_it_asks_for() -> None:
    headers = {"Retry-After": "2.5", "X-Request-Id": "req_1", "request-id": "req_2"}
    limited = failure(429, of_openai("Slow down"), headers)
    error = refused(limited, OPENAI)
    assert (error.retry_after, error.provider_request_id) == (2.5, "req_1")
    assert refused(limited, PROVIDERS["anthropic"]).provider_request_id == "req_2"


@pytest.mark.parametrize("value", ["soon", "inf", "nan", "1e999", ""])
def test_it_takes_no_wait_from_a_header_that_is_no_number_of_seconds(value: str) -> None:
    error = refused(failure(429, of_openai("Slow down"), {"Retry-After": value}), OPENAI)
    assert error.retry_after is None


def test_it_takes_a_negative_wait_as_none_at_all() -> None:
    assert refused(failure(429, "", {"Retry-After": "-5"}), OPENAI).retry_after == 0


def test_a_402_that_names_a_wait_is_a_limit() -> None:
    """OpenRouter's in-flight budget, which comes back by itself."""
    body = {"error": {"message": "Too much in flight", "code": 402}}
    error = refused(failure(402, body, {"Retry-After": "3"}), PROVIDERS["openrouter"])
    assert (type(error), error.retry_after) == (errors.RateLimited, 3)


def test_it_keeps_the_wait_that_gemini_asks_for() -> None:
    body = of_gemini(429, PLAN, "RESOURCE_EXHAUSTED")
    body[0]["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    assert refused(failure(429, body), PROVIDERS["gemini"]).retry_after == 17


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (aiohttp.ConnectionTimeoutError("silence"), errors.Timeout),
        (TimeoutError(), errors.Timeout),
        (aiohttp.ServerDisconnectedError(), errors.Unreachable),
        (aiohttp.ClientOSError("reset"), errors.Unreachable),
        (ConnectionResetError("reset"), errors.Unreachable),
        (aiohttp.ClientPayloadError("not all of the body"), errors.Unreachable),
        (aiohttp.InvalidURL("x"), errors.MalformedAnswer),
        (aiohttp.ClientError("anything else"), errors.MalformedAnswer),
    ],
)
def test_it_knows_what_a_broken_connection_means(exc: Exception, kind: type[errors.ProviderError]) -> None:
    error = translate(exc, OPENAI)
    assert type(error) is kind
    assert error.cause == type(exc).__name__


def test_what_is_not_compressed_as_it_says_makes_no_sense() -> None:
    exc = aiohttp.ClientPayloadError("bad")
    exc.__cause__ = ContentEncodingError("not gzip")
    assert type(translate(exc, OPENAI)) is errors.MalformedAnswer


def test_it_names_the_cause_behind_a_connection_error() -> None:
    exc = aiohttp.ClientConnectorError(ConnectionKey("x", 1, False, True, None, None, None), OSError("refused"))
    assert translate(exc, OPENAI).cause == "ClientConnectorError"
    exc.__cause__ = OSError("all attempts failed")
    exc.__cause__.__cause__ = ExceptionGroup("both addresses", [ConnectionRefusedError(), ConnectionRefusedError()])
    assert translate(exc, OPENAI).cause == "ClientConnectorError (ConnectionRefusedError)"


def test_a_ring_of_causes_has_an_end() -> None:
    exc = aiohttp.ClientPayloadError("reset")
    exc.__cause__ = other = ValueError()
    other.__cause__ = exc
    assert translate(exc, OPENAI).cause == "ClientPayloadError"


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"message": "overloaded", "type": "server_error", "code": None}, errors.ServerError),
        ({"message": "Slow down", "code": "rate_limit_exceeded"}, errors.RateLimited),
        ({"message": "Too many", "code": 429}, errors.RateLimited),
        ({"message": "Bad key", "code": 401}, errors.AuthenticationFailed),
        ({"message": "too long", "code": "context_length_exceeded"}, errors.ContextTooLong),
        ({"message": "stopped", "type": "content_filter"}, errors.ContentFiltered),
        ("something broke", errors.ServerError),
        ({"type": "overloaded_error", "message": "Overloaded"}, errors.ServerError),
        ({"type": "rate_limit_error", "message": "Slow down"}, errors.RateLimited),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, errors.AuthenticationFailed),
        ({"type": "permission_error", "message": "no"}, errors.AuthenticationFailed),
        ({"type": "timeout_error", "message": "Request timeout"}, errors.Timeout),
        ({"type": "api_error", "message": "Internal server error"}, errors.ServerError),
        ({"type": "not_found_error", "message": "model: x"}, errors.UnknownModel),
        ({"type": "invalid_request_error", "message": "messages: odd"}, errors.BadRequest),
        ({"type": "billing_error", "message": "Payment required"}, errors.QuotaExhausted),
        ({"message": PLAN, "code": "insufficient_quota"}, errors.QuotaExhausted),
        ({"message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}, errors.RateLimited),
        ({"message": "Provider disconnected", "code": 502}, errors.ServerError),
        ({"message": "Model overloaded", "code": 529}, errors.ServerError),
        (["odd"], errors.ServerError),
        (42, errors.ServerError),
    ],
)
def test_it_knows_what_an_error_inside_a_stream_means(payload: Any, kind: type[errors.ProviderError]) -> None:
    error = translate_payload(payload, OPENAI)
    assert type(error) is kind
    assert error.cause == "error in the stream"


@pytest.mark.parametrize("kind", errors.ALL, ids=lambda kind: kind.code)
def test_no_error_repeats_the_providers_words_in_its_text_or_its_facts(kind: type[errors.ProviderError]) -> None:
    error = kind(provider="OpenAI", reason="the prompt was: secret")
    assert "secret" not in f"{error} {error!r} {error.facts()}"
    assert str(error).startswith("OpenAI ")


def test_the_callers_own_faults_are_quoted_without_our_key() -> None:
    bad = errors.BadRequest(provider="OpenAI", reason="key sk-1234 cannot use temperature 2")
    assert bad.quotable("sk-1234") == "key [key] cannot use temperature 2"
    assert errors.AuthenticationFailed(provider="OpenAI", reason="key sk-1234 is wrong").quotable("sk-1234") is None


def test_the_statuses_are_those_of_the_documentation() -> None:
    assert {kind.code: kind.status for kind in errors.ALL} == {
        "authentication": 502,
        "quota_exhausted": 502,
        "rate_limited": 429,
        "context_too_long": 413,
        "provider_bad_request": 400,
        "unknown_model": 400,
        "content_filter": 422,
        "timeout": 504,
        "unreachable": 503,
        "server_error": 502,
        "malformed_answer": 502,
        "empty_answer": 502,
        "circuit_open": 503,
    }


def custom(**fields: Any) -> Provider:
    return Provider(name="x", label="x", base_url="http://x", model="m", **fields)


def test_a_custom_provider_is_translated_like_the_others() -> None:
    assert type(refused(failure(404, "404 page not found"), custom())) is errors.MalformedAnswer
    assert type(refused(failure(404, "no such model"), custom())) is errors.UnknownModel
