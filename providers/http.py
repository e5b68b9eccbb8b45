"""The HTTP connections to one provider.

By aiohttp and not by the `openai` SDK: a turn's request and its chunks cost a tenth and a fifth of the CPU there, and a
worker 30 MB less (docs/providers.md). Of the SDK only the wire would be used, which is one POST.
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
        self._trust_env = behind_proxy(self._base)
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
                trust_env=self._trust_env,
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


def behind_proxy(url: str) -> bool:
    """Whether HTTP_PROXY, HTTPS_PROXY or ALL_PROXY holds for it. aiohttp itself would look at each request."""
    parts, proxies = urlsplit(url), getproxies()
    return not {parts.scheme, "all"}.isdisjoint(proxies) and not proxy_bypass(parts.hostname or "")
