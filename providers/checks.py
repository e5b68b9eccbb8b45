"""System checks of how the providers are reached."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from providers.http import proxy_of


@register()
def check_proxies(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Only HTTP proxies can be used. aiohttp would take one of another kind for such a one, and reach nobody."""
    proxies = {name: proxy_of(provider.base_url) for name, provider in settings.CHAT_PROVIDERS.items()}
    wrong = [name for name, proxy in proxies.items() if proxy and urlsplit(proxy).scheme not in {"http", "https"}]
    if not wrong:
        return []
    hint = f"Name one in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, or except the hosts of {', '.join(wrong)} in NO_PROXY."
    return [Error("The environment's proxy for the providers is no HTTP proxy.", hint=hint, id="providers.E001")]
