"""Token counts, wherever in a payload a provider puts them."""

from typing import Any

from providers.base import Usage

MAX_COUNT = 100_000_000
"""Tokens. No model takes or says as many; a provider that claims more has not counted."""


def usage_of(payload: dict[str, Any], choice: dict[str, Any]) -> Usage | None:
    """None when there are none, or none that make sense: a prompt has at least one token.

    In the chunk (OpenAI), in its choice (Moonshot), in `x_groq` (Groq, unless asked for OpenAI's form).
    """
    reported = payload.get("usage") or choice.get("usage") or (payload.get("x_groq") or {}).get("usage")
    if not reported:
        return None
    prompt, completion = _count(reported.get("prompt_tokens")), _count(reported.get("completion_tokens"))
    total = _count(reported.get("total_tokens")) or prompt + completion
    if not 0 < max(prompt, completion, total) <= MAX_COUNT:
        return None
    return Usage(prompt, completion, total, min(_cached(reported), prompt), min(_reasoning(reported), completion))


def _cached(reported: dict[str, Any]) -> int:
    details = reported.get("prompt_tokens_details") or {}
    return _count(details.get("cached_tokens")) or _count(reported.get("prompt_cache_hit_tokens"))  # DeepSeek's name


def _reasoning(reported: dict[str, Any]) -> int:
    return _count((reported.get("completion_tokens_details") or {}).get("reasoning_tokens"))


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
