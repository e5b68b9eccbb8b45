"""The figures of each turn as Sentry metrics. Without a DSN nothing happens, and nothing here raises.

Attributes are few and of few values: no user, no id, no text.
"""

from decimal import Decimal

import sentry_sdk
from sentry_sdk.types import Hint, Metric
from sentry_sdk.utils import capture_internal_exceptions

PERSONAL = ("user.", "user_agent.")
"""What the SDK adds of the request's user, by the beginning of its name."""


def turn(
    *,
    outcome: str,
    provider: str,
    model: str,
    time_to_first_token_ms: int | None,
    duration_ms: int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    cost_usd: Decimal | None,
) -> None:
    """Counts a turn that has ended, and what is known of its times, tokens and cost (US dollars)."""
    if not sentry_sdk.is_initialized():
        return
    attributes = {"outcome": outcome, "provider": provider, "model": model}
    with capture_internal_exceptions():
        sentry_sdk.metrics.count("chat.turns", 1, attributes=attributes)
        for name, milliseconds in (
            ("chat.time_to_first_token", time_to_first_token_ms),
            ("chat.turn_duration", duration_ms),
        ):
            if milliseconds is not None:
                sentry_sdk.metrics.distribution(name, milliseconds, unit="millisecond", attributes=attributes)
        for kind, tokens in (("input", input_tokens), ("output", output_tokens)):
            if tokens is not None:
                sentry_sdk.metrics.count("chat.tokens", tokens, unit="token", attributes=attributes | {"kind": kind})
        if cost_usd is not None:
            sentry_sdk.metrics.distribution("chat.cost", float(cost_usd), unit="usd", attributes=attributes)


def live_streams(count: int) -> None:
    """How many turns, and so providers' streams, this worker has under way now."""
    if sentry_sdk.is_initialized():
        with capture_internal_exceptions():
            sentry_sdk.metrics.gauge("chat.live_streams", count)


def without_person(metric: Metric, hint: Hint) -> Metric:
    """A `before_send_metric`."""
    attributes = metric["attributes"]
    metric["attributes"] = {name: value for name, value in attributes.items() if not name.startswith(PERSONAL)}
    return metric
