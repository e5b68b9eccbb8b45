"""What a turn may cost at most, as its API key's ledger reserves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings

from chatproject.apikeys import ledger
from chatproject.apikeys.models import ApiKey
from conversations import estimate, history
from providers.base import ChatMessage, Usage
from providers.chain import candidates
from providers.pricing import cost_usd
from providers.registry import Provider

AROUND = 16
"""Tokens that a provider puts around each message, at most."""


@dataclass(frozen=True, slots=True)
class Reserved:
    metered: bool
    """Whether the turn is in the ledger, and has to be settled."""
    max_tokens: int | None
    """What the provider is to be told: the caller's own, or the cap of a turn that names none."""


def reserve(
    key: ApiKey | None,
    turn_id: UUID,
    provider: Provider,
    model: str,
    prompt: list[ChatMessage],
    extra: Mapping[str, Any],
    max_tokens: int | None,
) -> Reserved:
    """Reserves what the turn may take, in the transaction that begins it. A turn without a key is free.

    Raises as ledger.reserve does.
    """
    if key is None or not key.metered:
        return Reserved(metered=False, max_tokens=max_tokens)
    capped = max_tokens
    if max_tokens is None and (key.limit("budget_day_usd") or key.limit("budget_month_usd")):
        capped = settings.CHAT_BUDGET_MAX_TOKENS
    answer = capped or settings.CHAT_BUDGET_MAX_TOKENS
    tokens = sum(map(history.size_of, prompt)) + history.size_of_json(extra) + answer
    ledger.reserve(key, turn_id, tokens, highest_cost(provider, model, prompt_tokens(prompt, extra), answer))
    return Reserved(metered=True, max_tokens=capped)


def prompt_tokens(prompt: list[ChatMessage], extra: Mapping[str, Any]) -> int:
    """A bound, where history.size_of is a guess: no tokenizer makes more tokens of a text than it has bytes."""
    said = sum(estimate.of_message(message, 1) + AROUND for message in prompt)
    return said + estimate.of_json(extra, 1)


def highest_cost(provider: Provider, model: str, prompt: int, answer: int) -> Decimal:
    """In US dollars, at the dearest of those who may be asked. One whose price nobody knows counts as free."""
    usage = Usage(prompt, answer, prompt + answer)
    prices = [cost_usd(asked.provider, asked.model, usage) for asked in candidates(provider, model)]
    return max((price for price in prices if price is not None), default=Decimal(0))
