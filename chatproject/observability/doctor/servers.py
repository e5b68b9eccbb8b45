"""Which server answered, told by what it says of itself, and what it keeps: read in each server's own source."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sentry_sdk.utils import Dsn

from chatproject.observability.doctor.verdicts import Outcome, printable
from chatproject.observability.sentry import is_saas


@dataclass(frozen=True)
class Server:
    kind: str
    name: str
    keeps: frozenset[str] | None = None
    """Types of items that it stores; None when the answer alone does not tell."""
    depends: frozenset[str] = frozenset()
    """Types that only some of its versions store."""

    def ignores(self, type: str) -> bool:
        """Whether it answers 200 to such an item and drops it."""
        return self.keeps is not None and type not in self.keeps | self.depends

    def surely_keeps(self, type: str) -> bool:
        return self.keeps is not None and type in self.keeps


SENTRY_IO = Server("sentry.io", "sentry.io")
SENTRY = Server("sentry", "Sentry (Relay)")
BUGSINK = Server("bugsink", "Bugsink", keeps=frozenset({"event"}))
GLITCHTIP = Server("glitchtip", "GlitchTip", keeps=frozenset({"event", "transaction"}), depends=frozenset({"log"}))
UNKNOWN = Server("unknown", "unknown")

EXPOSED = "access-control-expose-headers"


def recognise(dsn: str, headers: Mapping[str, str]) -> Server:
    """The server at the DSN, by the headers of its answer to an envelope (names in lower case)."""
    if is_saas(dsn):
        return SENTRY_IO
    exposed = {name.strip().lower() for name in headers.get(EXPOSED, "").split(",")}
    # relay-server/src/middlewares/cors.rs exposes its own error header too; Bugsink's ingest/views.py only the limits.
    if "x-sentry-error" in exposed:
        return SENTRY
    return BUGSINK if exposed == {"x-sentry-rate-limits"} else UNKNOWN


def foreign_via(dsn: str, headers: Mapping[str, str]) -> str:
    """The Via header, printable, unless it is that of sentry.io's own load balancer."""
    via = printable(headers.get("via", ""))
    return "" if is_saas(dsn) and via == "1.1 google" else via


def settings_url(dsn: str) -> str:
    """GlitchTip's public settings, which no other server has (glitchtip/api/api.py); its answers name nobody."""
    parts = Dsn(dsn)
    return f"{parts.scheme}://{parts.netloc}{parts.path}api/settings/"


def is_glitchtip(answer: Outcome) -> bool:
    document = answer.json() if answer.status == 200 else None
    return isinstance(document, dict) and "iPaidForGlitchTip" in document


def api_url(dsn: str) -> str:
    """The base URL of the web API that belongs to a DSN: its own host, but for sentry.io, which ingests elsewhere."""
    if not dsn:
        return ""
    parts = Dsn(dsn)
    if not is_saas(dsn):
        return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    # o1.ingest.sentry.io -> sentry.io; o1.ingest.de.sentry.io -> de.sentry.io, the region's own API
    labels = (urlsplit(dsn).hostname or "").split(".")
    region = labels[-3] if len(labels) >= 4 and labels[-4] == "ingest" else ""
    return f"https://{region}.sentry.io" if region else "https://sentry.io"


def web_url(dsn: str) -> str:
    """The base URL of the web pages that belong to a DSN."""
    return "https://sentry.io" if is_saas(dsn) else api_url(dsn)
