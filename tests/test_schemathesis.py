"""The whole OpenAPI document against a real server: what it promises of statuses, types and schemas is so, for what
fits and for what does not; and nothing that anybody can send is a 5xx.

`positive_data_acceptance` is left out: what a schema allows a rule may still forbid (an unknown provider, a cursor of
somebody else's making).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import fake
from tests.fakes.database import Databases
from tests.fakes.provider import Provider
from tests.fakes.server import Server

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
]
# What is too long for its schema may be too long for a body, too.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 414, 415, 422, 429]
"""
SEED = 20260301


@pytest.fixture
def site(databases: Databases, _provider: Provider) -> Iterator[Server]:
    """Without the embedded model: that nobody is there would be a 503."""
    with Server(databases.new(), databases.keys, **{**fake(_provider), "CHAT_PROVIDERS": "fake"}) as server:
        yield server


def test_the_document_is_the_truth(site: Server, databases: Databases, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run", f"{site.url}/api/openapi.json"),
        *(f"--header=Authorization: Bearer {databases.keys['alice']}", f"--checks={','.join(CHECKS)}"),
        *("--phases=examples,coverage,fuzzing", "--max-examples=10", f"--seed={SEED}", "--no-shrink"),
        *("--exclude-path=/sentry-debug", "--suppress-health-check=all", "--request-timeout=20", "--warnings=off"),
        "--continue-on-failure",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    assert "Operations:       " in done.stdout
    assert " 500 " not in "".join(line for line in site.log().splitlines() if "chatproject.access" in line)
