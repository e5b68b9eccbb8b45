"""Which provider and model a turn goes to, and the adapter that asks it."""

from functools import cache

from django.conf import settings

from chatproject.problems import Problem
from providers.base import ChatProvider, Usage
from providers.openai_compatible import OpenAICompatible
from providers.pricing import cost_usd
from providers.registry import Provider


def provider_named(name: str) -> Provider:
    """The configured provider. Raises Problem `unknown_provider` with the names there are."""
    provider: Provider | None = settings.CHAT_PROVIDERS.get(name)
    if provider is None:
        names = ", ".join(settings.CHAT_PROVIDERS)
        raise Problem("unknown_provider", f"Configured providers: {names}.")
    return provider


@cache
def adapter(name: str) -> OpenAICompatible:
    """One client, with its connection pool, for each provider and process."""
    return OpenAICompatible(settings.CHAT_PROVIDERS[name])


def chat_provider(name: str) -> ChatProvider:
    return adapter(name)


async def close() -> None:
    """Ends the connections of every provider."""
    for name in settings.CHAT_PROVIDERS:
        await adapter(name).close()


def warm() -> None:
    """Makes every client and loads the price list, so that no request waits for it (over a second when cold)."""
    for name in settings.CHAT_PROVIDERS:
        adapter(name)
    for provider in settings.CHAT_PROVIDERS.values():
        cost_usd(provider, provider.model, Usage(1, 1, 2))
