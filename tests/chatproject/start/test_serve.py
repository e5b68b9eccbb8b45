"""`manage.py serve` as `make run` starts it: gunicorn beside the embedded model."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chatproject.start.preflight import get
from tests.chatproject.start.processes import Supervised
from tests.fakes.ports import free_port

StartServe = Callable[..., Supervised]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[StartServe]:
    """Starts `manage.py serve` on a database of the test's own."""
    with ExitStack() as stack:

        def start(**environment: str) -> Supervised:
            defaults = {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}", "PORT": str(free_port())}
            log = tmp_path / f"log-{len(list(tmp_path.iterdir()))}"
            command = [sys.executable, "manage.py", "serve"]
            return stack.enter_context(Supervised(command, log, **{**defaults, **environment}))

        yield start


def paste(log: str) -> list[str]:
    """Runs the curl lines of `log` as a newcomer would, and returns the answers."""
    lines = re.findall(r"^  (curl .*\\\n.*)$", log, re.MULTILINE)
    return [
        subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout
        for line in lines
    ]


def test_a_first_start_prints_lines_that_work_and_a_second_one_no_secret(serve: StartServe) -> None:
    model = f"http://127.0.0.1:{free_port()}/v1"
    first = serve(LOCAL_BASE_URL=model)
    first.wait_for('"stream": true')
    assert get(f"{model}/models")[0] == 200
    blocking, streamed = paste(first.log())
    assert "Paris" in json.loads(blocking)["content"]
    assert streamed.startswith("event: message.created")
    assert "event: message.completed" in streamed
    assert re.search(r"Log in as    admin, password \S{12,}", first.log())

    os.killpg(first.pid, signal.SIGINT)
    assert first.wait() == 0
    assert first.log().endswith("Stopping ...\nStopped.\n")
    assert first.orphans() == []
    assert get(f"{model}/models")[0] == 0

    second = serve(LOCAL_BASE_URL=model)
    second.wait_for("create_api_key NAME")
    assert not re.search(r"ck_|password", second.log())


def test_a_server_that_dies_ends_with_its_workers_and_the_model(serve: StartServe) -> None:
    running = serve(LOCAL_BASE_URL=f"http://127.0.0.1:{free_port()}/v1", WEB_CONCURRENCY="2")
    running.wait_for("Ready")
    [server] = [pid for pid in running.children() if "gunicorn" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(server, signal.SIGKILL)
    assert running.wait() == 1
    assert "The server ended (killed by SIGKILL), so everything stops." in running.log()
    assert running.orphans() == []


def test_no_model_starts_when_no_provider_needs_it(serve: StartServe) -> None:
    other = {"FAKE_BASE_URL": "http://127.0.0.1:9/v1", "FAKE_MODEL": "fake"}
    running = serve(CHAT_PROVIDERS="fake", CHAT_DEFAULT_PROVIDER="fake", **other)
    running.wait_for("Ready")
    assert len(running.children()) == 1
    os.killpg(running.pid, signal.SIGTERM)
    assert running.wait() == 0
    assert running.orphans() == []


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PORT": "none"}, "CommandError: PORT must be a whole number from 1 to 65535."),
        (
            {"DATABASE_URL": "sqlite:////no/such/folder/db"},
            "CommandError: The database of DATABASE_URL cannot be used: ",
        ),
    ],
)
def test_a_start_that_cannot_succeed_ends_in_one_line(
    serve: StartServe, environment: dict[str, str], line: str
) -> None:
    failed = serve(LOCAL_BASE_URL=f"http://127.0.0.1:{free_port()}/v1", **environment)
    assert failed.wait() == 1
    assert failed.log().splitlines()[-1].startswith(line)
    assert "Traceback" not in failed.log()
