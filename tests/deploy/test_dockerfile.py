"""The Dockerfile. There is no Docker here: its rules are checked, and what it copies is run without it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, image_environment, instructions
from tests.fakes.database import ROOT, Databases
from tests.fakes.ports import free_port
from tests.fakes.waiting import poll


def of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def command_of(instruction: str) -> list[str]:
    """Its exec form: with a shell in between, SIGTERM would not reach the server."""
    [text] = of(instruction)
    return list(json.loads(text[text.index("[") :]))


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_builds_it_stays_behind_and_every_base_has_a_version() -> None:
    assert len(of("FROM")) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+( AS \w+)?", base) for base in of("FROM"))


def test_it_does_not_run_as_root() -> None:
    [user] = of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "a number, by which Kubernetes can tell"
    names = [name for name, _ in instructions()]
    assert "RUN" not in names[names.index("USER") :]


def test_no_secret_is_baked_in() -> None:
    assert not [name for name in image_environment() if re.search("KEY|TOKEN|PASSWORD|DSN|SECRET|DATABASE_URL", name)]
    assert not of("ADD")
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = [part for rest in of("COPY") if "--from" not in rest for part in rest.split()[:-1]]
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_what_it_copies_serves_and_is_healthy(tmp_path: Path, databases: Databases) -> None:
    for rest in of("COPY"):
        if "--from" not in rest:
            copy(rest.split()[:-1], tmp_path)
    port = str(free_port())
    env = {name: os.environ[name] for name in ("SECRET_KEY",)}
    env |= image_environment() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    env |= {"DATABASE_URL": databases.new().url, "HOST": "127.0.0.1", "PORT": port, "SENTRY_RELEASE": "1"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command_of("CMD"), cwd=tmp_path, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        healthy = command_of("HEALTHCHECK")
        poll(lambda: server.poll() is not None or probe(healthy, env) == 0, 30, "healthy container")
        assert server.poll() is None, (tmp_path / "log").read_text()
        [stop] = of("STOPSIGNAL")
        server.send_signal(signal.Signals[stop])
        assert server.wait(20) == 0
        assert probe(healthy, env) != 0, "nobody is there any more"
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def copy(sources: list[str], target: Path) -> None:
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, target / source)


def probe(command: list[str], env: dict[str, str]) -> int:
    return subprocess.run(command, env=env, capture_output=True, timeout=20).returncode
