"""The variables that deploy/ sets: the server knows every one, and starts with these values."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.deploy.files import (
    DEPLOY,
    UNITS,
    compose,
    dotenv,
    image_environment,
    manifest,
    unit_environment,
)
from tests.fakes.database import ROOT

SERVICES = [path.name for path in UNITS if path.suffix == ".service"]
EXAMPLE = DEPLOY / "compose.env.example"
NOT_THE_SERVERS = re.compile(r"PATH|PYTHON[A-Z]+|POD_IP|POSTGRES_PASSWORD")
"""Python's own, and what the files need to write the server's."""


def known() -> set[str]:
    """What the server reads: .env.example has it, or gunicorn.conf.py reads it before there are settings."""
    own = re.findall(r"environ\.get\(['\"](\w+)", (ROOT / "gunicorn.conf.py").read_text())
    return {*dotenv(ROOT / ".env.example"), *own, "ENV_FILE"}


def environments() -> dict[str, Mapping[str, str]]:
    container = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]
    found: dict[str, Mapping[str, str]] = {
        "image": image_environment(),
        "compose": compose()["x-chat"]["environment"],
        "compose.env.example": dotenv(EXAMPLE),
        "ConfigMap": manifest("ConfigMap")["data"],
        "Deployment": {entry["name"]: entry.get("value", "") for entry in container["env"]},
    }
    return found | {name: unit_environment(name) for name in SERVICES}


@pytest.mark.parametrize(("where", "environment"), environments().items(), ids=environments())
def test_the_server_knows_every_variable(where: str, environment: Mapping[str, str]) -> None:
    assert environment
    assert {name for name in environment if not NOT_THE_SERVERS.fullmatch(name)} <= known()


def test_comments_name_no_variable_that_there_is_not() -> None:
    texts = {path: path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    pattern = r"\b(?:CHAT|SENTRY|DATABASE|GRACEFUL)_[A-Z_]+\b"
    named = {(path.name, name) for path, text in texts.items() for name in re.findall(pattern, text)}
    assert len(named) > 20
    own = {"CHAT_IMAGE"}  # compose's
    assert {(path, name) for path, name in named if name not in known() | own} == set()


@pytest.mark.parametrize("where", ["compose", "ConfigMap"])
def test_a_production_server_starts_with_the_values(where: str) -> None:
    every = environments()
    given = every["image"] | every[where]
    if where == "compose":
        given |= dotenv(EXAMPLE) | {"DATABASE_URL": "postgres://chat:secret@127.0.0.1:1/chat"}
    secrets = {"SECRET_KEY": os.environ["SECRET_KEY"], "SENTRY_DSN": "https://key@127.0.0.1/1", "OPENAI_API_KEY": "sk"}
    env = os.environ | given | secrets | {"PATH": os.environ["PATH"]}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
