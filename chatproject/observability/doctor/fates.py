"""What became of each item that was sent: only what the answers prove."""

from collections.abc import Iterable
from dataclasses import dataclass

from chatproject.observability.doctor.payloads import Parcel, Part
from chatproject.observability.doctor.ratelimits import limit_seconds
from chatproject.observability.doctor.servers import Server
from chatproject.observability.doctor.verdicts import BY_CODE, Outcome, Verdict, detail_of, diagnose

STORED = "stored"  # the API has it
ACCEPTED = "accepted"  # taken for processing
IGNORED = "ignored"  # answered 200 by a server that drops such items
RATE_LIMITED = "rate_limited"
REJECTED = "rejected"  # answered, but not taken
FAILED = "no_answer"
NOT_SENT = "not_sent"

OPEN = "Taken for processing; whether it is kept only the API can tell."
LIMITED_BESIDE_200 = "Sentry announces that it drops this kind of data from now on: a quota or rate limit is used up."


@dataclass(frozen=True)
class Fate:
    item: str
    type: str
    fate: str
    verdict: str = ""
    """The code of the verdict on the answer (verdicts.py)."""
    status: int | None = None
    reason: str = ""
    detail: str = ""
    """The server's own words."""
    fix: str = ""
    retry_after_s: int | None = None

    @property
    def taken(self) -> bool:
        return self.fate in {ACCEPTED, STORED}


def fates_of(parcel: Parcel, outcome: Outcome, server: Server, hidden: Iterable[str]) -> list[Fate]:
    """One fate for each item of the envelope; `hidden` are secrets that no text may repeat."""
    detail = detail_of(outcome, hidden)
    return [_fate(part, parcel, outcome, server, detail) for part in parcel.parts]


def unsent(parcel: Parcel, why: str) -> list[Fate]:
    return [Fate(part.name, part.type, NOT_SENT, reason=why) for part in parcel.parts]


def _fate(part: Part, parcel: Parcel, outcome: Outcome, server: Server, detail: str) -> Fate:
    verdict = diagnose(outcome)

    def fate(name: str, because: Verdict = verdict, reason: str = "", seconds: int | None = None) -> Fate:
        fix = because.fix.format(wait=seconds)
        said = reason or because.reason
        return Fate(part.name, part.type, name, because.code, outcome.status, said, detail, fix, seconds)

    if outcome.failure:
        return fate(NOT_SENT if outcome.failure == "no_dsn" else FAILED)
    # A limit that covers what the server never keeps is how Bugsink says so: not a limit that would end.
    if verdict.accepted and server.ignores(part.type):
        return fate(IGNORED, reason=f"{server.name} answers 200 to this kind of data and drops it.")
    if verdict.accepted or verdict.code == "rate_limited":
        seconds = limit_seconds(outcome, part.categories, parcel.categories)
        if seconds is not None:
            reason = LIMITED_BESIDE_200 if verdict.accepted else ""
            return fate(RATE_LIMITED, BY_CODE["rate_limited"], reason, seconds)
        kept = server.surely_keeps(part.type)
        return fate(ACCEPTED, BY_CODE["accepted"], f"Taken; {server.name} keeps this kind of data." if kept else OPEN)
    return fate(REJECTED)
