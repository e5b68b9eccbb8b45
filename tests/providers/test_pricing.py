"""What a turn costs."""

from dataclasses import replace

import pytest

from providers.base import Usage
from providers.pricing import cost_usd
from providers.registry import PRESETS
from providers.usage import MAX_COUNT

PROVIDERS = {preset.name: preset for preset in PRESETS}
USAGE = Usage(prompt_tokens=1_000_000, completion_tokens=100_000, total_tokens=1_100_000)


def test_a_known_model_costs_what_the_list_says() -> None:
    cost = cost_usd(PROVIDERS["openai"], "gpt-4o", USAGE)
    assert cost is not None
    assert float(cost) == pytest.approx(3.5)  # 2.50 for a million in, 10.00 for a million out


def test_more_tokens_cost_more() -> None:
    half = Usage(500_000, 50_000, 550_000)
    whole = cost_usd(PROVIDERS["anthropic"], "claude-sonnet-4-5", USAGE)
    part = cost_usd(PROVIDERS["anthropic"], "claude-sonnet-4-5", half)
    assert whole is not None
    assert part is not None
    assert 0 < part < whole


def test_cached_tokens_cost_less() -> None:
    cost = cost_usd(PROVIDERS["openai"], "gpt-4o", Usage(1_000_000, 0, 1_000_000, cached_tokens=400_000))
    assert cost is not None
    assert float(cost) == pytest.approx(2.0)  # 0.6 million at 2.50 and 0.4 million at 1.25


def test_more_cached_tokens_than_there_are_cost_what_there_are() -> None:
    odd = Usage(1_000_000, 0, 1_000_000, cached_tokens=2_000_000)
    assert cost_usd(PROVIDERS["openai"], "gpt-4o", odd) == cost_usd(
        PROVIDERS["openai"], "gpt-4o", replace(odd, cached_tokens=1_000_000)
    )


def test_reasoning_that_only_the_total_counts_costs_as_well() -> None:
    cost = cost_usd(PROVIDERS["openai"], "gpt-4o", Usage(1_000_000, 10_000, 1_100_000))
    assert cost is not None
    assert float(cost) == pytest.approx(3.5)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_an_unknown_model_has_no_price(preset: object) -> None:
    assert cost_usd(preset, "no-such-model-at-all", USAGE) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["local", "ollama"])
def test_a_model_of_ones_own_has_no_price(name: str) -> None:
    assert cost_usd(PROVIDERS[name], "gpt-4o", USAGE) is None


def test_what_cannot_be_has_no_price() -> None:
    usage = Usage(MAX_COUNT, MAX_COUNT, MAX_COUNT)
    assert cost_usd(PROVIDERS["openai"], "o1-pro", usage) is None
