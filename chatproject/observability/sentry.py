"""Starts the Sentry SDK. settings.py calls it, so it imports neither models nor django.conf.settings.

Each option that differs from the SDK's default says why.
"""

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sentry_sdk
from django.core.handlers.base import BaseHandler
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger
from sentry_sdk.integrations.modules import ModulesIntegration
from sentry_sdk.types import Event, Hint, SamplingContext
from sentry_sdk.utils import Dsn, capture_internal_exceptions, logger

from chatproject.observability import database, serializer, telemetry
from chatproject.observability.context import keep_status
from chatproject.observability.limiter import Limiter
from chatproject.observability.privacy import HEADERS, cut_exception_texts, drop_template_contexts
from chatproject.observability.sessions import note_held_back
from chatproject.observability.transport import LoopTransport

if TYPE_CHECKING:
    from sentry_sdk._types import DataCollectionUserOptions

# Paths that nobody wants a transaction, a session or a log line of.
UNTRACED = ("/health", "/metrics", "/static/")


def init(
    *,
    dsn: str,
    environment: str,
    release: str,
    traces_sample_rate: float,
    profiles_sample_rate: float,
    send_pii: bool,
    include_prompts: bool,
    event_burst: int,
) -> None:
    """Starts the SDK when `dsn` is set; otherwise nothing of it runs. Rates are shares from 0.0 to 1.0."""
    if not dsn:
        return
    load_middleware = BaseHandler.load_middleware
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release or None,
        # A sampler, not a rate: a rate lets an incoming `sentry-trace` header force sampling.
        traces_sampler=sampler(traces_sample_rate),
        # `profiles_sample_rate`, its deprecated predecessor, would silently turn continuous profiling off.
        profile_session_sample_rate=profiles_sample_rate,
        profile_lifecycle="trace",
        # Only what is named here. Left out on purpose: OpenAI's loses spans of broken streams and reports handled
        # failures a second time; the HTTP clients' would trace every provider call; a command's arguments may be
        # passwords; threading's wraps every database unit, whose context chatproject/db.py already carries.
        auto_enabling_integrations=False,
        default_integrations=False,
        integrations=[
            DjangoIntegration(transaction_style="url", middleware_spans=False, signals_spans=False),
            # A log line is a breadcrumb, never an event: one failure, one event. Our own lines, and only those, are
            # sent as logs, by the handler in LOGGING.
            LoggingIntegration(event_level=None, sentry_logs_level=None, capture_sentry_logs=False),
            ExcepthookIntegration(),  # commands that die
            DedupeIntegration(),
            ModulesIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),  # sends what is left, without a word on stderr
        ],
        before_send=before_send(Limiter(event_burst)),
        before_send_transaction=before_send_transaction,
        transport=LoopTransport,
        # The default, 9, spends half as much CPU again to save 4 % of the bytes.
        _experiments={"transport_compression_level": 1},
        trace_propagation_targets=[],  # a provider must not see our trace ids
        data_collection=data_collection(send_pii=send_pii, include_prompts=include_prompts),
        # Sentry's own servers take gen_ai spans as items of their own, untruncated; others do not know them.
        stream_gen_ai_spans=is_saas(dsn),
    )
    # With no spans of middleware, what the SDK puts around each is only in the way.
    BaseHandler.load_middleware = load_middleware  # type: ignore[method-assign]
    if not sentry_sdk.get_client().options["debug"]:
        # It makes a record of each debug line before it finds out that nobody wants it: a twentieth of a turn's CPU.
        logger.setLevel(logging.ERROR)
    # The access log's line is no breadcrumb: the middleware leaves a better one.
    ignore_logger("chatproject.access")
    database.quieten()
    telemetry.install()
    serializer.install(spans_apart=is_saas(dsn))


def before_send(limiter: Limiter) -> Callable[[Event, Hint], Event | None]:
    """What an error passes through last; None drops it, and its capture returns no id."""

    def limit_and_cut(event: Event, hint: Hint) -> Event | None:
        if limiter(event, hint) is None:
            note_held_back(event)
            return None
        if details := hint.get("details"):
            with capture_internal_exceptions():
                event.setdefault("contexts", {}).update(details())
        return cut_exception_texts(event, hint)

    return limit_and_cut


def before_send_transaction(event: Event, hint: Hint) -> Event | None:
    return drop_template_contexts(keep_status(event, hint), hint)


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


def default_trace_url(dsn: str) -> str:
    """The page of one trace as a template with {trace_id}; as `default_event_url` has it, without a slug."""
    return "https://sentry.io/explore/traces/trace/{trace_id}/" if is_saas(dsn) else ""


def git_release() -> str:
    """The commit this checkout is at; empty outside of one."""
    try:
        command = ["git", "rev-parse", "HEAD"]
        here = Path(__file__).parent
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
