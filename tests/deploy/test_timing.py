"""Stopping: every turn may come to its end, and nobody kills the server before it is through."""

import re

import pytest

from tests.deploy.files import DEPLOY, compose, manifest, unit, unit_environment
from tests.fakes.database import ROOT

MARGIN = 5
"""Seconds of GRACEFUL_TIMEOUT that gunicorn.conf.py keeps for storing, telling and ending."""

LONGEST_TURN = 300


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def stops() -> dict[str, tuple[int, int]]:
    """{where: (GRACEFUL_TIMEOUT, seconds until whoever stops it kills it)}."""
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    [_, wait] = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    service = compose()["services"]["chat"]
    return {
        "kubernetes": (
            int(manifest("ConfigMap")["data"]["GRACEFUL_TIMEOUT"]),
            pod["terminationGracePeriodSeconds"] - int(wait),
        ),
        "compose": (int(service["environment"]["GRACEFUL_TIMEOUT"]), seconds(service["stop_grace_period"])),
        "systemd": (
            int(unit_environment("chat.service")["GRACEFUL_TIMEOUT"]),
            int(unit("chat.service")["Service"]["TimeoutStopSec"]),
        ),
    }


def test_the_longest_turn_is_what_the_files_take_it_for() -> None:
    example = (ROOT / ".env.example").read_text()
    assert f"\nCHAT_TURN_TIMEOUT={LONGEST_TURN}\n" in example
    assert manifest("ConfigMap")["data"]["CHAT_TURN_TIMEOUT"] == str(LONGEST_TURN)
    assert f"turn_grace = max(graceful_timeout - {MARGIN}," in (ROOT / "gunicorn.conf.py").read_text()


@pytest.mark.parametrize("where", stops())
def test_a_turn_that_runs_may_end(where: str) -> None:
    graceful, _ = stops()[where]
    assert graceful - MARGIN >= LONGEST_TURN


@pytest.mark.parametrize("where", stops())
def test_nobody_kills_it_earlier(where: str) -> None:
    graceful, killed = stops()[where]
    assert killed >= graceful + MARGIN


def test_nginx_waits_as_long_as_a_blocking_turn_may_take() -> None:
    [found] = re.findall(r"proxy_read_timeout (\d+)s;", (DEPLOY / "nginx" / "chat.conf").read_text())
    ingress = manifest("Ingress")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"]
    assert int(found) > LONGEST_TURN
    assert int(ingress) > LONGEST_TURN
    assert seconds(compose()["services"]["nginx"]["stop_grace_period"]) > LONGEST_TURN
