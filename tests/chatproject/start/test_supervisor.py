"""What the supervisor promises, with plain HTTP servers as its children. `test_serve.py` has the real ones."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatproject.start.preflight import get
from tests.chatproject.start.processes import Supervised
from tests.fakes.ports import free_port
from tests.fakes.provider import poll

SCRIPT = """
import sys
from chatproject.start.supervisor import Service, Supervisor

def say(text):
    print(text, flush=True)

def service(name, port, *program):
    command = [sys.executable, *program, "--bind", "127.0.0.1", port]
    return Service(name, command, f"http://127.0.0.1:{port}/")

web = ["-m", "http.server"]
server = service("server", sys.argv[1], *(sys.argv[3:] or web))
model = service("embedded model", sys.argv[2], *web)
sys.exit(Supervisor(server, model, say).run(lambda: say("Ready")))
"""

DEAF = """
import runpy, signal
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
runpy.run_module("http.server", run_name="__main__")
"""


class Pair(Supervised):
    """A supervisor with two web servers."""

    def __init__(self, log: Path) -> None:
        self.server_port, self.model_port = free_port(), free_port()
        super().__init__([sys.executable, "-c", SCRIPT, str(self.server_port), str(self.model_port)], log)

    def child(self, port: int) -> int:
        """The process id of the child at `port`."""
        [pid] = [pid for pid in self.children() if str(port) in Path(f"/proc/{pid}/cmdline").read_text()]
        return pid


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Pair(tmp_path / "log") as pair:
        pair.wait_for("Ready")
        yield pair


def answers(port: int) -> bool:
    return get(f"http://127.0.0.1:{port}/")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_group_ends_both_and_counts_as_success(pair: Pair, number: signal.Signals) -> None:
    assert answers(pair.server_port)
    assert answers(pair.model_port)
    os.killpg(pair.pid, number)
    assert pair.wait() == 0
    assert pair.orphans() == []
    assert "Traceback" not in pair.log()


def test_a_child_that_ignores_the_signals_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(free_port()), str(free_port()), "-c", DEAF]
    with Supervised(command, tmp_path / "log") as both:
        both.wait_for("Ready")
        os.killpg(both.pid, signal.SIGINT)
        assert both.wait() == 0
        assert both.orphans() == []


def test_a_dead_server_ends_everything(pair: Pair) -> None:
    os.kill(pair.child(pair.server_port), signal.SIGKILL)
    assert pair.wait() == 1
    assert "The server ended (killed by SIGKILL), so everything stops." in pair.log()
    assert pair.orphans() == []


def test_a_dead_model_is_started_again_once_and_the_server_goes_on(pair: Pair) -> None:
    first = pair.child(pair.model_port)
    os.kill(first, signal.SIGKILL)
    pair.wait_for("The embedded model ended (killed by SIGKILL); starting it again.")
    poll(lambda: answers(pair.model_port), 10, "the model, started again")
    os.kill(pair.child(pair.model_port), signal.SIGTERM)
    pair.wait_for("The embedded model ended again (killed by SIGTERM); the server goes on without it.")
    assert answers(pair.server_port)
    os.killpg(pair.pid, signal.SIGINT)
    assert pair.wait() == 0
    assert pair.orphans() == []


def test_a_server_that_cannot_start_ends_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, "no-port", str(free_port())]
    with Supervised(command, tmp_path / "log") as both:
        assert both.wait() == 1
        assert "The server ended (exit status 2), so everything stops." in both.log()
        assert "Ready" not in both.log()
        assert both.orphans() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_nothing_outlives_a_supervisor_that_was_killed(pair: Pair) -> None:
    pair.children()
    os.kill(pair.pid, signal.SIGKILL)
    assert pair.wait() == -signal.SIGKILL
    poll(lambda: not pair.orphans(), 10, "end of the children")


def test_nohup_keeps_it_alive(tmp_path: Path) -> None:
    ports = [str(free_port()), str(free_port())]
    with Supervised(["nohup", sys.executable, "-c", SCRIPT, *ports], tmp_path / "log") as both:
        both.wait_for("Ready")
        os.killpg(both.pid, signal.SIGHUP)
        os.killpg(both.pid, signal.SIGTERM)
        assert both.wait() == 0
        assert "Stopping" in both.log()
