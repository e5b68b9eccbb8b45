"""A limit of a key that a request has met: its answer, the headers, and the metric."""

from chatproject.apikeys.rates import MINUTE, Rate
from chatproject.observability import metrics
from chatproject.problems import Problem


def refusal(
    code: str,
    detail: str,
    *,
    retry_after: int | None = None,
    quota: int | None = None,
    unit: str = "",
    window: int | None = None,
) -> Problem:
    """The problem `code`, counted as a metric. `retry_after`: seconds; None when no waiting helps.

    With a `quota` its headers tell of that, as of one that is used up: so many `unit`s in `window` seconds.
    """
    metrics.refused(code)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if quota is not None:
        policy = f'"{unit}";q={quota};qu="{unit}"'
        headers["RateLimit-Policy"] = policy if window is None else f"{policy};w={window}"
        headers["RateLimit"] = f'"{unit}";r=0' if retry_after is None else f'"{unit}";r=0;t={retry_after}'
    return Problem(code, detail, headers=headers)


def too_many_requests(rate: Rate) -> Problem:
    detail = f"This key may make {rate.limit} requests a minute; wait {rate.reset} s."
    return refusal("too_many_requests", detail, retry_after=rate.reset)


def headers_of(rate: Rate) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
    return {
        "RateLimit-Policy": f'"requests";q={rate.limit};w={MINUTE}',
        "RateLimit": f'"requests";r={rate.remaining};t={rate.reset}',
    }


def openai_headers_of(rate: Rate) -> dict[str, str]:
    """As OpenAI has them: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers."""
    return {
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{rate.reset}s",
    }
