"""What a turn costs, from the price list bundled with genai-prices."""

from decimal import Decimal

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from providers.base import Usage
from providers.registry import Provider


def cost_usd(provider: Provider, model: str, usage: Usage) -> Decimal | None:
    """The price of `usage` in US dollars; None when the list does not know the model. Takes about 25 us."""
    if not provider.price_id:
        return None
    priced = PricedUsage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
    try:
        return calc_price(priced, model, provider_id=provider.price_id).total_price
    except LookupError:
        return None
