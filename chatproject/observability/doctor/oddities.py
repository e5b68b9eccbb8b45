"""What looks wrong although it works: one table of checks, each on facts that others have gathered."""

import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CLOCK_TOLERANCE = 60
"""Seconds that our clock may be off before times in Sentry mislead."""

ENVIRONMENT_WORDS = {
    "production": {"production", "prod", "prd", "live"},
    "staging": {"staging", "stage", "stg", "preprod", "uat"},
    "development": {"development", "develop", "dev", "local"},
}
"""How people name an environment in a project's slug."""


@dataclass(frozen=True)
class Facts:
    """What the checks look at; a fact that is not known has its default and gives no oddity."""

    environment: str
    release: str = "unknown"
    traces_sample_rate: float = 0.0
    profiles_sample_rate: float = 0.0
    send_pii: bool = False
    include_prompts: bool = False
    incoming_traces_forced: bool = False
    clock_ahead_s: float = 0.0
    """Seconds that our clock is ahead of the server's."""
    proxy: str = ""
    via: str = ""
    """The header in which a proxy names itself."""
    web_page: bool = False
    """Whether an answer was a page of HTML."""
    project_slug: str = ""
    dsn_project: str = ""
    slug_project: str = ""
    """The number of the project that SENTRY_PROJECT names, as the API has it."""
    switched_off: str = ""
    """What the server itself does not send, in words."""

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def clock_words(self) -> str:
        return f"{abs(self.clock_ahead_s):.0f} s {'ahead of' if self.clock_ahead_s > 0 else 'behind'}"

    @property
    def slug_environment(self) -> str:
        return environment_in(self.project_slug)


@dataclass(frozen=True)
class Check:
    id: str
    applies: Callable[[Facts], bool]
    text: str
    """With {facts.NAME} for what was found."""
    fix: str


@dataclass(frozen=True)
class Oddity:
    id: str
    text: str
    fix: str


CHECKS = (
    Check(
        "profiling_without_tracing",
        lambda facts: facts.profiles_sample_rate > 0 and facts.traces_sample_rate == 0,
        "Profiling is on and tracing off: only traced work is profiled, so no profile is ever made.",
        "Set SENTRY_TRACES_SAMPLE_RATE above 0, or SENTRY_PROFILES_SAMPLE_RATE=0.",
    ),
    Check(
        "switched_off",
        lambda facts: bool(facts.switched_off),
        "The server itself sends no {facts.switched_off}, whatever became of those sent here: they are switched off.",
        "If they are wanted: SENTRY_TRACES_SAMPLE_RATE, SENTRY_PROFILES_SAMPLE_RATE above 0, SENTRY_ENABLE_LOGS=true.",
    ),
    Check(
        "pii_in_production",
        lambda facts: facts.production and facts.send_pii,
        "Users' names, e-mail addresses and IP addresses of production are sent.",
        "Set SENTRY_SEND_DEFAULT_PII=false, unless your users know and your contract with Sentry covers it.",
    ),
    Check(
        "prompts_in_production",
        lambda facts: facts.production and facts.include_prompts,
        "The text of production's messages is sent.",
        "Set SENTRY_INCLUDE_PROMPTS=false, unless your users know.",
    ),
    Check(
        "release_missing",
        lambda facts: not facts.release,
        "Events name no release: Sentry cannot tell which version broke, and has no release health.",
        "Set SENTRY_RELEASE to a version or commit; without it, it is the commit of a git checkout, and there is none.",
    ),
    Check(
        "clock_skew",
        lambda facts: abs(facts.clock_ahead_s) > CLOCK_TOLERANCE,
        "This machine's clock is {facts.clock_words} the server's: times in Sentry are wrong or rejected.",
        "Synchronise this machine's clock (NTP); if it is right, the server's is wrong.",
    ),
    Check(
        "proxy_in_effect",
        lambda facts: bool(facts.proxy),
        "Everything goes through the proxy {facts.proxy}, by HTTPS_PROXY or HTTP_PROXY.",
        "If that is not intended, name the DSN's host in NO_PROXY.",
    ),
    Check(
        "proxy_answered",
        lambda facts: bool(facts.via),
        "The answer came through a proxy, which names itself: {facts.via}.",
        "If nothing should stand in between, look at the network's proxies; one may change or hold back what passes.",
    ),
    Check(
        "web_page_answered",
        lambda facts: facts.web_page,
        "A web page came back, which no Sentry sends: a proxy, a login page or another site answered.",
        "Check host and path of SENTRY_DSN, and let the envelope endpoint (/api/NUMBER/envelope/) pass without login.",
    ),
    Check(
        "other_environment",
        lambda facts: facts.slug_environment not in {"", facts.environment},
        "The DSN belongs to the project {facts.project_slug}, which sounds like {facts.slug_environment}; "
        "SENTRY_ENVIRONMENT is {facts.environment}.",
        "Use the DSN of this environment's project, or correct SENTRY_ENVIRONMENT.",
    ),
    Check(
        "other_project",
        lambda facts: facts.slug_project not in {"", facts.dsn_project},
        "SENTRY_PROJECT names project {facts.slug_project}, and the DSN project {facts.dsn_project}.",
        "Correct SENTRY_PROJECT or SENTRY_DSN; events go where the DSN says.",
    ),
    Check(
        "incoming_traces_forced",
        lambda facts: facts.incoming_traces_forced,
        "A caller's sentry-trace header decides whether a request is traced, whatever the sample rate says.",
        "Keep the traces_sampler that chatproject/observability/sentry.py gives the SDK.",
    ),
)


def find(facts: Facts) -> list[Oddity]:
    return [Oddity(check.id, check.text.format(facts=facts), check.fix) for check in CHECKS if check.applies(facts)]


def environment_in(slug: str) -> str:
    """The one environment that a slug such as `chat-prod` names; empty for none, or for several."""
    words = set(re.split(r"[^a-z0-9]+", slug.lower()))
    named = [environment for environment, names in ENVIRONMENT_WORDS.items() if words & names]
    return named[0] if len(named) == 1 else ""


def clock_ahead(date: str, now: datetime | None) -> float:
    """Seconds that `now` is ahead of a Date header; 0 when the header cannot be read."""
    try:
        return (now - email.utils.parsedate_to_datetime(date)).total_seconds() if now else 0.0
    except (ValueError, TypeError):
        return 0.0


def forces_incoming_traces(options: Mapping[str, Any]) -> bool:
    """Whether a client with `options` lets an incoming trace decide: asked of its sampler, not read from the code."""
    sampler = options.get("traces_sampler")
    if sampler is None:
        # With a plain rate, the caller's decision goes before ours.
        return options.get("traces_sample_rate") is not None and not options.get("strict_trace_continuation")
    ours, called = (sampler({"parent_sampled": parent, "asgi_scope": {"path": "/api/chat"}}) for parent in (None, True))
    return float(called) != float(ours)
