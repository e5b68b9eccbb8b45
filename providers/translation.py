"""From an SDK's exception, or an error inside a stream, to the tree in errors.py.

By HTTP status first, by the error's code or wording second: a status is a contract, a wording is not.
The wordings are those of the presets' APIs in November 2026.
"""

import math
import re
from typing import Any

import httpx2
import openai

from providers import errors
from providers.registry import Provider

TOO_LONG = re.compile(
    r"context_length_exceeded|context[ _]length|context size|maximum (number of tokens|prompt length|context)"
    r"|prompt is too long|too large for model|exceed_context|reduce the length",
    re.I,
)
NO_MODEL = re.compile(
    r"model_not_found|invalid_model|model not exist|not a valid model|supported api model names"
    r"|model.{0,120}(does not exist|not found|decommissioned)|is not found for api version",
    re.I | re.S,
)
FILTERED = re.compile(r"content_filter|content_policy|content management policy|content exists risk|moderation", re.I)
REASON_LIMIT = 500


def translate(exc: Exception, provider: Provider) -> errors.ProviderError:
    """The ProviderError that `exc` means. `exc` comes from the openai SDK or from httpx2."""
    facts: dict[str, Any] = {"provider": provider.label, "cause": type(exc).__name__}
    if isinstance(exc, openai.APIStatusError):
        return _from_status(exc, provider, facts)
    if isinstance(exc, openai.APITimeoutError | httpx2.TimeoutException):
        return errors.Timeout(**facts)
    if isinstance(exc, openai.APIConnectionError | httpx2.TransportError):
        inner = exc.__cause__
        return errors.Unreachable(**(facts | {"cause": type(inner).__name__} if inner else facts))
    return errors.MalformedAnswer(**facts)


def translate_payload(error: Any, provider: Provider) -> errors.ProviderError:
    """The ProviderError for an error object that came inside a stream, after a 200."""
    codes, text = _words({"error": error})
    facts: dict[str, Any] = {"provider": provider.label, "reason": text, "cause": "error in the stream"}
    status = next((int(code) for code in codes.split() if re.fullmatch(r"[45]\d\d", code)), None)
    kind = _by_words(f"{codes} {text}") or (_by_status(status) if status else errors.ServerError)
    if "rate_limit" in codes:
        kind = errors.RateLimited
    return kind(provider_status=status, **facts)


def _from_status(exc: openai.APIStatusError, provider: Provider, facts: dict[str, Any]) -> errors.ProviderError:
    codes, text = _words(exc.body)
    status = exc.status_code
    kind = _by_status(status)
    if status in {400, 403, 404, 413, 422}:
        kind = _by_words(f"{codes} {text}") or kind
    return kind(
        provider_status=status,
        provider_request_id=exc.response.headers.get(provider.request_id_header),
        retry_after=_seconds(exc.response.headers.get("retry-after")),
        reason=text,
        **facts,
    )


def _by_status(status: int) -> type[errors.ProviderError]:
    if status in {401, 402, 403}:
        return errors.AuthenticationFailed
    if status in {408, 504}:
        return errors.Timeout
    if status == 404:
        return errors.UnknownModel
    if status == 413:
        return errors.ContextTooLong
    if status == 429:
        return errors.RateLimited
    if status >= 500:
        return errors.ServerError
    return errors.BadRequest if status >= 400 else errors.MalformedAnswer


def _by_words(words: str) -> type[errors.ProviderError] | None:
    for pattern, kind in (
        (TOO_LONG, errors.ContextTooLong),
        (NO_MODEL, errors.UnknownModel),
        (FILTERED, errors.ContentFiltered),
    ):
        if pattern.search(words):
            return kind
    return None


def _words(body: Any) -> tuple[str, str]:
    """(codes, message) of an error body. Shapes: {"error": {...}}, {"error": "..."}, [{"error": ...}], flat, text."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return "", str(body or "")[:REASON_LIMIT]
    codes = " ".join(str(body[key]) for key in ("code", "type", "status") if body.get(key))
    return codes, str(body.get("message") or body.get("error") or "")[:REASON_LIMIT]


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds; the form with a date is rare among these providers and left out."""
    try:
        seconds = float(retry_after or "nan")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
