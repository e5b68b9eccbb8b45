"""From a refusal, a broken connection or an error inside a stream to the tree in errors.py.

By HTTP status first, by the error's code or wording second: a status is a contract, a wording is not.
The wordings are those of the presets' APIs in November 2026.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from providers import errors
from providers.registry import Provider
from providers.waits import wait_of

TOO_LONG = re.compile(
    r"context_length_exceeded|context[ _]length|context size|maximum (number of tokens|prompt length|context)"
    r"|prompt is too long|too large for model|exceed_context|reduce the length|max_tokens_exceeded",
    re.I,
)
NO_MODEL = re.compile(
    r"model_not_found|invalid_model|model not exist|not a valid model|supported api model names|no endpoints found"
    r"|model.{0,120}(does not exist|not found|decommissioned)|is not found for api version",
    re.I | re.S,
)
FILTERED = re.compile(r"content_filter|content_policy|content management policy|content exists risk|moderation", re.I)
NO_CREDIT = re.compile(
    # Not `billing` alone: Gemini's and Groq's plain rate limits name their billing pages.
    r"insufficient[ _](quota|balance|credits?|funds)|credit[ _]balance|usage_limit_exceeded"
    r"|specified.{0,20}usage limits|spend(ing)?[ _]limit|billing_(error|hard_limit|not_active)|billing to be enabled"
    r"|payment_required|credits are depleted|(all available|any|out of|more) credits|(budget|key) limit exceeded",
    re.I,
)
BAD_KEY = re.compile(r"(incorrect|invalid)[ _]api[ _]key|api[ _]key[ _](not (valid|found)|invalid|expired)", re.I)
LARGER_THAN_THE_LIMIT = re.compile(r"request too large", re.I)
"""Groq (413) and OpenAI (429), of a request that alone has more tokens than a minute's limit: no wait helps."""
RATE = re.compile(r"rate[ _]limit|too many requests|resource_exhausted|slow_down", re.I)

CODES: tuple[tuple[str, type[errors.ProviderError]], ...] = (
    ("authentication_error", errors.AuthenticationFailed),
    ("permission_error", errors.AuthenticationFailed),
    ("timeout_error", errors.Timeout),
    ("not_found_error", errors.UnknownModel),
    ("request_too_large", errors.ContextTooLong),
    ("invalid_request", errors.BadRequest),
)
"""What errors inside a stream, which have no status, call themselves."""
BY_STATUS = {
    401: errors.AuthenticationFailed,
    402: errors.QuotaExhausted,
    403: errors.AuthenticationFailed,
    404: errors.MalformedAnswer,  # without a word of a model it is the base URL that is wrong; so are the next two
    405: errors.MalformedAnswer,
    410: errors.MalformedAnswer,
    408: errors.Timeout,
    504: errors.Timeout,
    409: errors.ServerError,  # a conflict of the provider's own: our requests change nothing. Anthropic says to retry
    425: errors.ServerError,
    498: errors.ServerError,  # Groq: no capacity
    499: errors.ServerError,  # Groq: somebody cancelled it, and it was not us
    413: errors.ContextTooLong,
    429: errors.RateLimited,
}
TELLS_BY_WORDS = {400, 403, 404, 413, 422, 429}
REASON_LIMIT = 500


def translate(exc: Exception, provider: Provider) -> errors.ProviderError:
    """The ProviderError that `exc` means, which comes from aiohttp or the operating system."""
    facts: dict[str, Any] = {"provider": provider.label, "cause": _cause(exc)}
    if isinstance(exc, TimeoutError):
        return errors.Timeout(**facts)
    if any(isinstance(behind, ContentEncodingError) for behind in _behind(exc)):
        return errors.MalformedAnswer(**facts)
    # ClientResponseError: what came is no HTTP.
    broken = aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | aiohttp.ClientResponseError | OSError
    return errors.Unreachable(**facts) if isinstance(exc, broken) else errors.MalformedAnswer(**facts)


def translate_payload(error: Any, provider: Provider) -> errors.ProviderError:
    """The ProviderError for an error object that came inside a stream, after a 200."""
    codes, text = _words({"error": error})
    status = next((int(code) for code in codes.split() if re.fullmatch(r"[45]\d\d", code)), None)
    kind = _kind(status, codes, text, None)
    return kind(provider=provider.label, provider_status=status, reason=text, cause="error in the stream")


def translate_refusal(
    status: int, headers: Mapping[str, str], content: bytes, provider: Provider
) -> errors.ProviderError:
    """The ProviderError for an answer whose status is no success. `headers` do not care about case."""
    body = _parsed(content)
    codes, text = _words(body)
    wait = wait_of(headers, body)
    return _kind(status, codes, text, wait)(
        provider=provider.label,
        provider_status=status,
        provider_request_id=headers.get(provider.request_id_header),
        retry_after=wait,
        reason=text,
        cause=f"status {status}",
    )


def _parsed(content: bytes) -> Any:
    """The JSON in it, or else the text."""
    text = content.decode("utf-8", "replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _kind(status: int | None, codes: str, text: str, wait: float | None) -> type[errors.ProviderError]:
    words = f"{codes} {text}"
    if status == 402 and wait is not None:
        return errors.RateLimited  # OpenRouter: too much under way for the balance, which comes back by itself
    if status == 404 and re.search(r"model|deployment", words, re.I) and not text.lstrip().startswith("<"):
        return errors.UnknownModel
    if status in {413, 429} and LARGER_THAN_THE_LIMIT.search(words):
        return errors.ContextTooLong
    if status is None or status in TELLS_BY_WORDS:
        kind = _by_words(words, status)
        if kind is not None:
            return kind
    if status is None:
        return next((kind for code, kind in CODES if code in codes), errors.ServerError)
    default = errors.ServerError if status >= 500 else errors.BadRequest if status >= 400 else errors.MalformedAnswer
    return BY_STATUS.get(status, default)


def _by_words(words: str, status: int | None) -> type[errors.ProviderError] | None:
    if NO_CREDIT.search(words):
        return errors.QuotaExhausted
    if status == 429:  # whatever else its words quote
        return errors.RateLimited
    for pattern, kind in (
        (TOO_LONG, errors.ContextTooLong),
        (NO_MODEL, errors.UnknownModel),
        (FILTERED, errors.ContentFiltered),
        (BAD_KEY, errors.AuthenticationFailed),
    ):
        if pattern.search(words):
            return kind
    return errors.RateLimited if status in {None, 413} and RATE.search(words) else None


def _words(body: Any) -> tuple[str, str]:
    """(codes, message) of an error body. Shapes: {"error": {...}}, {"error": "..."}, [{"error": ...}], flat, text."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return "", str(body or "")[:REASON_LIMIT]
    # Anthropic tells a spend limit from a rate limit in `details` alone.
    details = body.get("details")
    specific = details.get("error_code") if isinstance(details, dict) else None
    codes = " ".join(str(code) for code in (body.get("code"), body.get("type"), body.get("status"), specific) if code)
    return codes, str(body.get("message") or body.get("error") or "")[:REASON_LIMIT]


def _cause(exc: BaseException) -> str:
    """Its class, and that of what the operating system said, if it did: "ClientConnectorError (gaierror)"."""
    for said in _behind(exc):
        if isinstance(said, OSError) and not isinstance(said, aiohttp.ClientError) and type(said) is not OSError:
            return type(exc).__name__ if said is exc else f"{type(exc).__name__} ({type(said).__name__})"
    return type(exc).__name__


def _behind(exc: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):  # no chain is as long, unless it is a ring
        if isinstance(exc, BaseExceptionGroup):  # of the addresses that a name has
            exc = exc.exceptions[0]
        if exc is None:
            return
        yield exc
        exc = exc.__cause__ or exc.__context__
