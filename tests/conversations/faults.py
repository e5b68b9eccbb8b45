"""The faults of a provider that the suite tries, and the table of docs/providers.md that says what becomes of each."""

import os
import re
from typing import NamedTuple

from tests.fakes.database import ROOT

DOCUMENT = ROOT / "docs" / "providers.md"
HEAD = (
    "| fault | the provider | attempts | HTTP status | code | message | its text | Sentry events |\n"
    "|---|---|---|---|---|---|---|---|\n"
)
TABLE = re.compile(re.escape(HEAD) + r"((?:\|.*\n)+)")

# Of providers that are there. What each does is in tests/fakes.
FAULTS = {
    "slow-headers": "sends the first line of its head, and then nothing",
    "slow-body": "sends a token every 0.3 s, beyond the turn's time",
    "hang": "accepts the request, and says nothing",
    "hang-mid-stream": "falls silent after three tokens",
    "comments-only": "sends keep-alive comments, but no token",
    "drop-mid-stream": "resets the connection after three tokens",
    "close-mid-stream": "closes the connection after three tokens, in the middle of the body",
    "reset-at-once": "resets the connection without a byte",
    "no-http": "speaks another protocol",
    "error-in-stream": "sends a JSON error after three tokens",
    "limit-in-stream": "sends a rate limit's JSON error after three tokens",
    "error-event": "sends an `error` event, as Anthropic does",
    "error-event-bare": "sends an `error` event without JSON",
    "error-finish": "ends with the finish reason `error`, as OpenRouter does",
    "no-finish": "ends the stream without a finish reason",
    "done-without-finish": "says `[DONE]` without a finish reason",
    "no-done": "gives a finish reason, but no `[DONE]`",
    "drop-after-finish": "closes the connection after its finish reason, in the middle of the body",
    "hang-after-done": "says `[DONE]`, and does not end the body",
    "hang-after-finish": "falls silent after its finish reason",
    "unterminated": "leaves out the empty line after the last event",
    "garbage": "sends a chunk that is no JSON",
    "endless-event": "sends nine megabytes without an event's end",
    "endless-answer": "sends nine megabytes of events",
    "html-200": "answers 200 with a web page",
    "not-sse": "answers 200 with a web page, in chunks",
    "wrong-type": "sends a good stream under a wrong content type",
    "empty-body": "answers 200 with nothing",
    "json-error-200": "answers 200 with a JSON error",
    "json-instead-of-sse": "ignores `stream` and sends one JSON body",
    "json-endless": "sends a JSON body without end",
    "gzip": "compresses the stream",
    "gzip-broken": "says that it compresses, and does not",
    "comments": "sends keep-alive comments between the tokens",
    "crlf": "ends its lines with CR LF",
    "multi-line": "spreads each event's data over many lines",
    "utf8-split": "cuts the stream inside its UTF-8 characters",
    "nul": "sends NUL, and half of a surrogate pair",
    "odd-usage": "counts its tokens in infinities and words",
    "odd-finish": "gives a number as its finish reason",
    "odd-model": "names its model with an object",
    "usage-missing": "reports no usage; it is estimated",
    "big-token": "sends a token of a megabyte",
    "tokens-100000": "sends 100,000 tokens",
    "empty": "answers without a word",
    "reasoning-only": "reasons, and then answers without a word",
    "length": "stops at the longest answer asked for",
    "filtered": "stops with the finish reason `content_filter`",
    "redirect": "redirects, which could carry the prompt to another host",
    "endless-error": "answers 500 with a body without end",
    "status-400": "refuses a parameter",
    "status-400-context": "says that the prompt is too long",
    "status-400-filter": "refuses the prompt because of its content",
    "status-401": "refuses our key",
    "status-402": "says that our account is out of credit",
    "status-403": "refuses our country",
    "status-404-model": "does not have the model",
    "status-404-path": "does not know the path: the base URL is wrong",
    "status-408": "answers 408",
    "status-409": "answers 409",
    "status-413": "says that the request is too large",
    "status-429": "answers 429, `Retry-After: 7`, more than the suite allows",
    "status-429-quota": "answers 429 because our account is out of credit",
    "retry-after-huge": "answers 429, `Retry-After: 3600`",
    "limited-1": "answers 429, `Retry-After: 0`, and then as it should",
    "limited-9": "answers 429, `Retry-After: 0`, again and again",
    "flaky-1": "answers 503, and then as it should",
    "flaky-9": "answers 503 again and again",
    "status-500": "answers 500",
    "status-529": "answers 529, overloaded",
}
# Of addresses where no provider is. The name is the configured provider's.
NOWHERE = {
    "refused": "is not there: the connection is refused",
    "dns": "has a name that resolves nowhere",
    "tls": "speaks plain HTTP where TLS is expected",
    "deaf": "takes no connection: its backlog is full",
}


class Row(NamedTuple):
    """What became of a turn."""

    attempts: int
    status: int
    """HTTP status of the blocking answer; a stream has said 200 by then."""
    code: str
    message: str
    """Its status."""
    text: str
    """`whole`, `part` or `none` of it."""
    events: int

    def line(self, fault: str) -> str:
        code = f"`{self.code}`" if self.code else ""
        cells = (f"`{fault}`", (FAULTS | NOWHERE)[fault], self.attempts, self.status, code, self.message, self.text)
        return "".join(f"| {cell} " for cell in (*cells, self.events)) + "|\n"


def read_table() -> dict[str, Row]:
    """The rows of the document by fault."""
    found = TABLE.search(DOCUMENT.read_text())
    rows = {}
    for line in found[1].splitlines() if found else ():
        fault, _, attempts, status, code, *rest, events = (cell.strip(" `") for cell in line.strip("|").split("|"))
        rows[fault] = Row(int(attempts), int(status), code, *rest, int(events))
    return rows


WRITING = bool(os.environ.get("WRITE_FAULTS"))
"""Whether the suite writes what it sees into the document (`make faults`), instead of comparing the two."""


def write_table(rows: dict[str, Row]) -> None:
    rows = read_table() | rows  # those that were not run this time stay
    ordered = [rows[fault].line(fault) for fault in FAULTS | NOWHERE if fault in rows]
    DOCUMENT.write_text(TABLE.sub(lambda _: HEAD + "".join(ordered), DOCUMENT.read_text()))
