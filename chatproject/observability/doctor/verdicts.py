"""What an answer of Sentry's ingest endpoint means, in words, and what to do about it."""

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import urllib3.exceptions as http
from sentry_sdk.utils import Dsn

DETAIL_LIMIT = 300
"""Characters of the server's own words that are shown."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt to send: an HTTP answer, or the failure that kept it from coming."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""
    failure: str = ""
    """The code of a verdict below, when there was no answer."""
    detail: str = ""
    """The failure in the system's words."""
    at: datetime | None = None
    """When the answer came, by our clock, in UTC."""

    @property
    def is_page(self) -> bool:
        """A web page, which no Sentry answers: it speaks JSON, or says nothing."""
        return self.body.lstrip().startswith(b"<")

    def json(self) -> Any:
        """The body's document; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Verdict:
    code: str
    reason: str
    fix: str
    statuses: Container[int] = ()

    @property
    def accepted(self) -> bool:
        return self.code == "accepted"


COPY_DSN = "Copy SENTRY_DSN again from Sentry: Project Settings > Client Keys (DSN)"

# The one table: HTTP status or failure -> reason and fix. {wait} is the number of seconds the server asks for.
VERDICTS = (
    Verdict(
        "accepted",
        "Taken for processing.",
        "",
        (200,),
    ),
    Verdict(
        "no_dsn",
        "SENTRY_DSN is empty: Sentry is off and nothing is sent.",
        "Set SENTRY_DSN, from Sentry: Project Settings > Client Keys (DSN). It looks like https://KEY@HOST/PROJECT_NUMBER.",
    ),
    Verdict(
        "dns",
        "The DSN's host name cannot be resolved.",
        f"Check the host for a typo, and this machine's DNS. {COPY_DSN}.",
    ),
    Verdict(
        "refused",
        "The DSN's host does not take the connection.",
        "Check host and port of SENTRY_DSN, whether the server runs, and whether a firewall lets this machine out.",
    ),
    Verdict(
        "tls",
        "The TLS handshake with the DSN's host failed: its certificate is not trusted, or it does not speak TLS.",
        "For a private certificate authority set SSL_CERT_FILE to its bundle; for a server without TLS use http:// in "
        "SENTRY_DSN; otherwise check the clock and any proxy that intercepts TLS.",
    ),
    Verdict(
        "proxy",
        "The HTTP proxy does not let the connection through.",
        "Check HTTPS_PROXY and HTTP_PROXY, or name the DSN's host in NO_PROXY.",
    ),
    Verdict(
        "timeout",
        "The DSN's host did not answer in time.",
        "Check whether a firewall drops the packets, and whether the server is overloaded. Then try again.",
    ),
    Verdict(
        "unreachable",
        "The connection to the DSN's host broke before an answer came.",
        "Check host and port of SENTRY_DSN and what stands in between: proxy, load balancer, firewall.",
    ),
    Verdict(
        "malformed",
        "The server does not understand it.",
        "A self-hosted server may be too old for this SDK: update it. Otherwise a proxy in between changes the body.",
        (400,),
    ),
    Verdict(
        "unknown_key",
        "The server knows no such key or project, or the key is disabled.",
        f"{COPY_DSN}; the key must be enabled there.",
        (401, 403),
    ),
    Verdict(
        "no_project",
        "There is no such project, or no Sentry server, at this address.",
        f"Check path and project number at the end of the DSN. {COPY_DSN}.",
        (404,),
    ),
    Verdict(
        "too_large",
        "The server, or a proxy before it, finds it too large.",
        "It is about 1 kB: raise the body limit of the proxy (client_max_body_size in nginx).",
        (413,),
    ),
    Verdict(
        "rate_limited",
        "Sentry is dropping this kind of data: a quota is used up, or a rate limit or spike protection is at work.",
        "Wait {wait} s and try again; then look at Stats & Usage and at the key's rate limit in Sentry, and lower "
        "SENTRY_TRACES_SAMPLE_RATE and SENTRY_PROFILES_SAMPLE_RATE.",
        (429,),
    ),
    Verdict(
        "server_error",
        "The Sentry server is failing or overloaded; what is sent meanwhile is lost.",
        "Try again later. Look at https://status.sentry.io, or at the self-hosted server's logs.",
        range(500, 600),
    ),
    Verdict(
        "not_sentry",
        "Something answered that is no Sentry server.",
        f"Check host and path of SENTRY_DSN, and whether a proxy or a login page stands in between. {COPY_DSN}.",
    ),
)
BY_CODE = {verdict.code: verdict for verdict in VERDICTS}


def diagnose(outcome: Outcome) -> Verdict:
    """The verdict on `outcome`; a status that no Sentry server sends is `not_sentry`."""
    if outcome.failure:
        return BY_CODE[outcome.failure]
    # What a wrong host or a login page answers.
    if outcome.is_page and outcome.status == 200:
        return BY_CODE["not_sentry"]
    return next((v for v in VERDICTS if outcome.status in v.statuses), BY_CODE["not_sentry"])


def failure_of(error: BaseException) -> str:
    """The code of the verdict on an exception that urllib3 raised instead of an answer."""
    if isinstance(error, http.MaxRetryError) and error.reason is not None:
        return failure_of(error.reason)
    # In this order: a proxy's failure wraps another, a name's failure is a kind of refused connection.
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (http.ProxyError, "proxy"),
        (http.SSLError, "tls"),
        (http.NameResolutionError, "dns"),
        (http.NewConnectionError, "refused"),
        (http.TimeoutError, "timeout"),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), "unreachable")


def root_cause(error: BaseException) -> str:
    """The innermost exception's words, without the layers that urllib3 puts around it."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        inner = inner if isinstance(inner, BaseException) else error.__cause__
        if inner is None:
            return getattr(error, "verify_message", "") or str(getattr(error, "strerror", None) or error)
        error = inner


def detail_of(outcome: Outcome, hidden: Iterable[str]) -> str:
    """The server's own words, or the system's, on one printable line; without the secrets in `hidden`."""
    text = printable(outcome.detail or _words(outcome))
    for secret in hidden:
        text = text.replace(secret, "***")
    return text[:DETAIL_LIMIT]


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _words(outcome: Outcome) -> str:
    """`detail` and `causes` of Sentry's JSON; of anything else, nothing: a page of HTML tells an operator little."""
    document = outcome.json()
    if not isinstance(document, dict):
        return ""
    causes = document.get("causes")
    return "; ".join(
        str(part) for part in [document.get("detail"), *(causes if isinstance(causes, list) else [])] if part
    )


def dsn_secrets(dsn: str) -> list[str]:
    parsed = Dsn(dsn) if dsn else None
    return [key for key in (parsed.public_key, parsed.secret_key) if key] if parsed else []


def without_key(dsn: str) -> str:
    """`https://KEY@HOST/1` -> `https://***@HOST/1`; empty stays empty."""
    if not dsn:
        return ""
    parsed = Dsn(dsn)
    return f"{parsed.scheme}://***@{parsed.netloc}{parsed.path}{parsed.project_id}"
