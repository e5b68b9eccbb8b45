"""Budgets that would not hold: of providers whose prices nobody knows."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.core.management.base import BaseCommand

from providers.base import Usage
from providers.pricing import cost_usd

BUDGETS = ("budget_day_usd", "budget_month_usd")


@register()
def check_prices(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What `manage.py check` says of the budgets that the settings give every key."""
    if not any(settings.CHAT_KEY_LIMITS[name] for name in BUDGETS) or not (names := unpriced()):
        return []
    hint = "Leave these providers out of CHAT_PROVIDERS, unless they cost nothing."
    return [Warning(message(names), hint=hint, id="apikeys.W001")]


def warn_of_prices(command: BaseCommand, limits: Mapping[str, Any]) -> None:
    """The same, on stderr, of limits that are given to one key."""
    if any(limits.get(name) for name in BUDGETS) and (names := unpriced()):
        command.stderr.write(message(names))


def message(names: list[str]) -> str:
    return f"No price is known of these providers' models, so that they count as 0 in budgets: {', '.join(names)}."


def unpriced() -> list[str]:
    """The configured providers whose models, or one of them, are in no price list; but for this machine's own."""
    usage = Usage(1, 1, 2)
    return [
        provider.name
        for provider in settings.CHAT_PROVIDERS.values()
        if provider.name != "local"
        and any(
            cost_usd(provider, model, usage) is None for model in (provider.model, provider.fallback_model) if model
        )
    ]
