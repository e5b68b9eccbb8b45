"""Starts the Sentry SDK. settings.py calls it, so it imports neither models nor django.conf.settings.

Each option that differs from the SDK's default says why.
"""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sentry_sdk
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.types import Event, Hint, SamplingContext
from sentry_sdk.utils import Dsn

if TYPE_CHECKING:
    from sentry_sdk._types import DataCollectionUserOptions

# Request headers that may travel; every other value is filtered, so a new secret header cannot leak.
HEADERS = ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "x-request-id"]

# Paths that nobody wants a transaction of.
UNTRACED = ("/health", "/static/")


def init(
    *,
    dsn: str,
    environment: str,
    release: str,
    traces_sample_rate: float,
    profiles_sample_rate: float,
    send_pii: bool,
    include_prompts: bool,
) -> None:
    """Starts the SDK when `dsn` is set; otherwise nothing of it runs. Rates are shares from 0.0 to 1.0."""
    if not dsn:
        return
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release or None,
        # A sampler, not a rate: a rate lets an incoming `sentry-trace` header force sampling.
        traces_sampler=sampler(traces_sample_rate),
        # `profiles_sample_rate`, its deprecated predecessor, would silently turn continuous profiling off.
        profile_session_sample_rate=profiles_sample_rate,
        profile_lifecycle="trace",
        # Only what is named here: the SDK's own OpenAI integration loses spans of broken streams and
        # reports handled failures a second time, and the HTTP client's would trace every provider call.
        auto_enabling_integrations=False,
        integrations=[
            DjangoIntegration(transaction_style="url", middleware_spans=False, signals_spans=False),
            # A log line is a breadcrumb, never an event: one failure, one event.
            LoggingIntegration(event_level=None),
        ],
        before_send_transaction=drop_template_contexts,
        trace_propagation_targets=[],  # a provider must not see our trace ids
        data_collection=data_collection(send_pii=send_pii, include_prompts=include_prompts),
        # Sentry's own servers take gen_ai spans as items of their own, untruncated; others do not know them.
        stream_gen_ai_spans=is_saas(dsn),
    )


def drop_template_contexts(event: Event, hint: Hint) -> Event:
    """A `before_send_transaction`: the SDK puts all that a page shows on its span, and the admin shows messages."""
    spans: Any = event.get("spans") or []
    for span in spans:
        if span.get("op") == "template.render":
            span.get("data", {}).pop("context", None)
    return event


def data_collection(*, send_pii: bool, include_prompts: bool) -> "DataCollectionUserOptions":
    """What the SDK may collect by itself. Every key is spelt out: an omitted one means "everything"."""
    return {
        "user_info": send_pii,
        "cookies": {"mode": "off"},
        "http_headers": {"request": {"mode": "allowlist", "terms": HEADERS}},
        "http_bodies": [],  # the body is the user's prompt
        "url_query_params": {"mode": "off"},
        "graphql": {"document": False, "variables": False},
        "gen_ai": {"inputs": include_prompts, "outputs": include_prompts},
        "database_query_data": False,
        "queues": False,
        "stack_frame_variables": False,  # locals hold prompts and keys
    }


def sampler(rate: float) -> Any:
    """A `traces_sampler` that knows only our rate (0.0 to 1.0) and the paths worth nothing."""

    def sample(context: SamplingContext) -> float:
        path = (context.get("asgi_scope") or {}).get("path", "")
        return 0.0 if path.startswith(UNTRACED) else rate

    return sample


def is_saas(dsn: str) -> bool:
    return f".{urlsplit(dsn).hostname}".endswith(".sentry.io")


def default_event_url(dsn: str) -> str:
    """The page of one event as a template with {event_id}; empty when the DSN's server is not sentry.io.

    A DSN does not tell the organisation's slug. sentry.io sends a path without one on to the organisation that the
    member used last, query included, and its issue search opens an event straight from its id. Members of several
    organisations want `SENTRY_EVENT_URL=https://SLUG.sentry.io/issues/?query={event_id}`.
    """
    if not is_saas(dsn):
        return ""
    return f"https://sentry.io/issues/?project={Dsn(dsn).project_id}&query={{event_id}}"


def git_release() -> str:
    """The commit this checkout is at; empty outside of one."""
    try:
        command = ["git", "rev-parse", "HEAD"]
        here = Path(__file__).parent
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
