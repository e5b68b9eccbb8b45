"""What a turn costs, from the price list bundled with genai-prices."""

from datetime import datetime
from decimal import Decimal

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from providers.base import Usage
from providers.registry import Provider

MOST = 10_000
"""US dollars. No turn costs that: somebody has miscounted. The column of a conversation's sum holds less than a
million, and beyond it SQLite stores what Django cannot read, and PostgreSQL stores nothing.
"""


def cost_usd(provider: Provider, model: str, usage: Usage, at: datetime | None = None) -> Decimal | None:
    """The price of `usage` in US dollars; None when the list does not know the model, or from MOST on. Takes 25 us.

    `usage.cached_tokens` are part of the prompt's, as OpenAI counts them, and cost less where the list says so.
    Some prices depend on the hour: `at` is when the turn began, now by default.
    """
    if not provider.price_id:
        return None
    # xAI and Gemini count the tokens of reasoning, which cost what an answer's do, in the total alone.
    output = max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens)
    priced = PricedUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=min(usage.cached_tokens, usage.prompt_tokens),
        output_tokens=output,
    )
    try:
        price = calc_price(priced, model, provider_id=provider.price_id, genai_request_timestamp=at).total_price
    except LookupError:
        return None
    return price if price < MOST else None
