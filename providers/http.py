"""The HTTP connections to one provider.

By aiohttp and not by the `openai` SDK: a request costs an eighth of the CPU there, a chunk of its answer a third, and a
worker 26 MB less (docs/providers.md). Of the SDK only the wire would be used, which is one POST.
"""

import asyncio
import io
import ssl
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from yarl import URL

from providers.registry import Provider

LONGEST_HEADER = 64 * 1024
"""Bytes of a header's line; aiohttp's own limit, 8 KB, is met by the security policies of some front ends."""

LARGE = 1024 * 1024
"""Bytes of a body that aiohttp wants to send in pieces, not to hold up the loop."""

KEPT = 30.0
"""Seconds that an idle connection is kept."""


class Connections:
    """Those of one provider, in one event loop at a time. What they raise is aiohttp's, or an OSError."""

    def __init__(self, provider: Provider) -> None:
        self._base = provider.base_url.rstrip("/")
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "chat-server"}
        # Events come as small pieces: nothing is gained by compressing them.
        self._headers["Accept-Encoding"] = "identity"
        if provider.api_key:
            self._headers["Authorization"] = f"Bearer {provider.api_key}"
        # Whoever reads an answer keeps the time.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=provider.timeouts.connect)
        self._proxy = proxy_of(self._base)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def url(self, path: str) -> URL:
        return URL(self._base + path)

    async def get(self, url: URL) -> aiohttp.ClientResponse:
        """The response, whose body is still to be read; `close` ends it wherever it is."""
        return await self._of_this_loop().get(url, allow_redirects=False)

    async def post(self, url: URL, body: bytes) -> aiohttp.ClientResponse:
        """The same. A redirect is not followed: it could carry the prompt to another host."""
        data = body if len(body) < LARGE else io.BytesIO(body)
        return await self._of_this_loop().post(url, data=data, allow_redirects=False)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _of_this_loop(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT, ssl=tls_context()),
                headers=self._headers,
                timeout=self._timeout,
                proxy=self._proxy,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=LONGEST_HEADER,
                max_field_size=LONGEST_HEADER,
            )
        return self._session


@cache
def tls_context() -> ssl.SSLContext:
    """Trusts the system's authorities, or those of SSL_CERT_FILE, and certifi's: slim systems come without any."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def proxy_of(url: str) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names for it, unless NO_PROXY excepts it.

    aiohttp's `trust_env` would look at each request, knows no ALL_PROXY, and takes keys out of a `.netrc` as well.
    """
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
