"""What the SDK is started with."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from chatproject.observability import sentry
from tests.fakes.database import ROOT
from tests.fakes.ingest import Ingest

SAAS = "https://key@o123.ingest.de.sentry.io/456"
OWN = "https://key@sentry.example.com/7"

REPORT = """
import json, sentry_sdk, chatproject.settings
options = sentry_sdk.get_client().options
names = ["environment", "release", "data_collection", "profile_session_sample_rate", "profiles_sample_rate"]
report = {name: options[name] for name in [*names, "trace_propagation_targets", "stream_gen_ai_spans"]}
report["initialized"] = sentry_sdk.is_initialized()
report["traces"] = options["traces_sampler"]({}) if options["traces_sampler"] else None
report["integrations"] = sorted(sentry_sdk.get_client().integrations)
print(json.dumps(report))
"""


LOG_AN_ERROR = """
import logging, sentry_sdk, chatproject.settings
logging.getLogger("conversations").error("logged")
sentry_sdk.capture_message("captured")
sentry_sdk.flush()
"""


def python(code: str, **environment: str) -> str:
    """What `code` prints, in a process of its own."""
    env = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(**environment: str) -> dict[str, Any]:
    """The options of the SDK in a process that has loaded the settings."""
    return dict(json.loads(python(REPORT, **environment)))


def test_without_a_dsn_the_sdk_is_not_started() -> None:
    assert started()["initialized"] is False


def test_the_defaults_are_those_of_the_documentation() -> None:
    options = started(SENTRY_DSN=OWN)
    assert options["initialized"] is True
    assert options["environment"] == "development"
    assert options["traces"] == 1.0
    assert options["profile_session_sample_rate"] == 1.0
    assert options["profiles_sample_rate"] is None  # would turn continuous profiling off
    assert options["data_collection"]["user_info"] is True
    assert options["trace_propagation_targets"] == []
    assert "django" in options["integrations"]
    assert "openai" not in options["integrations"]


@pytest.mark.parametrize(("debug", "heard"), [("false", False), ("true", True)])
def test_the_sdks_debug_lines_cost_nothing_unless_they_are_wanted(ingest: Ingest, debug: str, heard: bool) -> None:
    code = "import chatproject.settings; from sentry_sdk.utils import logger; print(logger.isEnabledFor(10))"
    assert python(code, SENTRY_DSN=ingest.dsn, SENTRY_DEBUG=debug).split()[-1] == str(heard)


def test_the_middleware_is_not_wrapped_for_spans_that_are_switched_off() -> None:
    code = "import chatproject.settings; from django.core.handlers.base import BaseHandler as handler\n"
    loads = python(f"{code}print(handler.load_middleware.__module__)", SENTRY_DSN=OWN)
    assert loads.split()[-1] == "django.core.handlers.base"


def test_both_rates_are_0_when_tracing_is_disabled() -> None:
    options = started(
        SENTRY_DSN=OWN,
        SENTRY_ENABLE_TRACING="false",
        SENTRY_TRACES_SAMPLE_RATE="0.5",
        SENTRY_PROFILES_SAMPLE_RATE="0.5",
    )
    assert (options["traces"], options["profile_session_sample_rate"]) == (0.0, 0.0)


def test_the_rates_are_passed_on() -> None:
    options = started(SENTRY_DSN=OWN, SENTRY_TRACES_SAMPLE_RATE="0.25", SENTRY_PROFILES_SAMPLE_RATE="0.5")
    assert (options["traces"], options["profile_session_sample_rate"]) == (0.25, 0.5)


def test_the_release_is_the_commit_unless_it_is_named() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert started(SENTRY_DSN=OWN)["release"] == head.stdout.strip()
    assert started(SENTRY_DSN=OWN, SENTRY_RELEASE="1.2.3")["release"] == "1.2.3"


def test_every_kind_of_data_that_the_sdk_may_collect_is_decided_on() -> None:
    # What is left out counts as everything: a kind that a new SDK brings has to be decided on here first.
    ours = set(sentry.data_collection(send_pii=False, include_prompts=False))
    sdks = set(started(SENTRY_DSN=OWN)["data_collection"])
    assert sdks - ours == {"provided_by_user", "frame_context_lines"}  # lines of our own source are fine


def test_no_body_cookie_query_or_local_variable_is_ever_collected() -> None:
    collected = sentry.data_collection(send_pii=True, include_prompts=True)
    assert collected["http_bodies"] == []
    assert collected["cookies"]["mode"] == collected["url_query_params"]["mode"] == "off"
    assert collected["stack_frame_variables"] is False
    assert collected["database_query_data"] is False


def test_a_log_line_is_a_breadcrumb_and_never_an_event(ingest: Ingest) -> None:
    python(LOG_AN_ERROR, SENTRY_DSN=ingest.dsn)
    [event] = ingest.items("event")
    assert event["message"] == "captured"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["logged"]


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/static/admin/css/base.css"])
def test_the_sampler_drops_probes_and_static_files(path: str) -> None:
    assert sentry.sampler(1.0)({"asgi_scope": {"path": path}}) == 0.0


@pytest.mark.parametrize("parent", [True, False, None])
def test_the_sampler_ignores_what_the_caller_decided(parent: bool | None) -> None:
    context = {"asgi_scope": {"path": "/api/chat"}, "parent_sampled": parent}
    assert sentry.sampler(0.25)(context) == 0.25


def test_only_sentrys_own_servers_get_spans_as_items_of_their_own() -> None:
    assert started(SENTRY_DSN=SAAS)["stream_gen_ai_spans"] is True
    assert started(SENTRY_DSN=OWN)["stream_gen_ai_spans"] is False


def test_an_event_of_sentry_io_is_found_by_searching_its_project_for_the_id() -> None:
    assert sentry.default_event_url(SAAS) == "https://sentry.io/issues/?project=456&query={event_id}"


@pytest.mark.parametrize("dsn", ["", OWN, "https://key@sentry.io.example.com/7"])
def test_elsewhere_there_is_no_page_to_guess(dsn: str) -> None:
    assert sentry.default_event_url(dsn) == ""
