"""What a turn costs."""

import pytest

from providers.base import Usage
from providers.pricing import cost_usd
from providers.registry import PRESETS

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


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_an_unknown_model_has_no_price(preset: object) -> None:
    assert cost_usd(preset, "no-such-model-at-all", USAGE) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["local", "ollama"])
def test_a_model_of_ones_own_has_no_price(name: str) -> None:
    assert cost_usd(PROVIDERS[name], "gpt-4o", USAGE) is None
