"""The figures of each turn as Sentry metrics. Without a DSN nothing happens, and nothing here raises.

Attributes are few and of few values: no user, no id, no text.
"""

from decimal import Decimal

import sentry_sdk

from chatproject.observability.telemetry import metric


def turn(
    *,
    outcome: str,
    provider: str,
    model: str,
    trace_id: str,
    time_to_first_token_ms: int | None,
    duration_ms: int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    cost_usd: Decimal | None,
) -> None:
    """Counts a turn that has ended, and what is known of its times, tokens and cost (US dollars)."""
    if not sentry_sdk.is_initialized():
        return
    whose = {"outcome": outcome, "provider": provider, "model": model}
    metric("counter", "chat.turns", 1, trace_id=trace_id, attributes=whose)
    for name, milliseconds in (("time_to_first_token", time_to_first_token_ms), ("turn_duration", duration_ms)):
        if milliseconds is not None:
            metric("distribution", f"chat.{name}", milliseconds, "millisecond", trace_id=trace_id, attributes=whose)
    for kind, tokens in (("input", input_tokens), ("output", output_tokens)):
        if tokens is not None:
            metric("counter", "chat.tokens", tokens, "token", trace_id=trace_id, attributes=whose | {"kind": kind})
    if cost_usd is not None:
        metric("distribution", "chat.cost", float(cost_usd), "usd", trace_id=trace_id, attributes=whose)


def retry(*, kind: str, provider: str, code: str, trace_id: str) -> None:
    """Counts an attempt that failed and was not the turn's last. `kind`: `retry` or `fallback`."""
    if sentry_sdk.is_initialized():
        attributes = {"kind": kind, "provider": provider, "code": code}
        metric("counter", "chat.retries", 1, trace_id=trace_id, attributes=attributes)


def refused(code: str) -> None:
    """Counts a request that a limit of its key has refused."""
    if sentry_sdk.is_initialized():
        metric("counter", "chat.limited", 1, attributes={"code": code})


def live_streams(count: int) -> None:
    """How many turns, and so providers' streams, this worker has under way now."""
    if sentry_sdk.is_initialized():
        metric("gauge", "chat.live_streams", count)
