"""The units: systemd takes them, and the server tells it when it is ready."""

import re
import shutil
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.deploy.files import UNITS, unit
from tests.deploy.test_kubernetes import COMMANDS


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    analyze()
    for path in UNITS:
        # It looks whether what is started is there.
        text = re.sub(r"/srv/chat/\.venv/bin/\w+", sys.executable, path.read_text())
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / path.name for path in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr, done.stderr


def test_every_timer_has_its_service_and_a_time() -> None:
    timers = [path for path in UNITS if path.suffix == ".timer"]
    assert {path.stem for path in timers} == COMMANDS.keys()
    for timer in timers:
        assert timer.with_suffix(".service").is_file()
        when = unit(timer.name)["Timer"]["OnCalendar"]
        assert when.endswith(" UTC"), "as the monitors in Sentry have it"
        if shutil.which("systemd-analyze"):
            subprocess.run(["systemd-analyze", "calendar", when], check=True, capture_output=True, timeout=60)


def test_every_timer_runs_its_command() -> None:
    for name, module in COMMANDS.items():
        command = unit(f"{name}.service")["Service"]["ExecStart"].split()
        assert command[1:3] == ["manage.py", module.rpartition(".")[2]]
        assert import_module(module).Command


def test_systemd_is_told_when_the_server_is_ready(tmp_path: Path, start_server: StartServer) -> None:
    assert unit("chat.service")["Service"]["Type"] == "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        start_server(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert systemd.recv(1000).startswith(b"READY=1")


def analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
