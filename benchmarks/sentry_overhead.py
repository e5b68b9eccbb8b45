"""What Sentry costs: the server's CPU for a blocking turn and for a streamed token, with four set-ups in turn.

    .venv/bin/python -m benchmarks.sentry_overhead [--rounds N]

Four gunicorns, alike but for their Sentry settings, run beside a fake provider and a loopback ingest endpoint. Each
round measures all of them shortly, one after the other, so that a drift of the machine's speed meets every one. CPU is
user and system time of the worker process, from /proc (Linux only). The ratio is that of a whole run; its spread is
that of five runs made of every fifth round.
"""

import argparse
import os
import secrets
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.ingest import Ingest
from tests.fakes.provider import Provider
from tests.fakes.server import Server

TURNS = 30
"""Blocking turns of a measurement."""

STREAMS, TOKENS = 2, 1_000

PARTS = 5


def environments(dsn: str) -> dict[str, dict[str, str]]:
    rate, profiles = "SENTRY_TRACES_SAMPLE_RATE", "SENTRY_PROFILES_SAMPLE_RATE"
    return {
        "no DSN": {},
        "rate 0": {"SENTRY_DSN": dsn, rate: "0", profiles: "0"},
        "rate 1.0": {"SENTRY_DSN": dsn, rate: "1", profiles: "0"},
        "rate 1.0, profiled": {"SENTRY_DSN": dsn, rate: "1", profiles: "1"},
    }


def cpu_seconds(server: Server) -> float:
    ticks = 0
    for pid in server.workers():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def spent(server: Server, work: Callable[[], int]) -> float:
    """Microseconds of the server's CPU for each of what `work` counts."""
    before = cpu_seconds(server)
    count = work()
    return (cpu_seconds(server) - before) * 1e6 / count


def turns(client: Client) -> int:
    for _ in range(TURNS):
        client.post("/api/chat", json={"message": "What is the capital of France?"}).raise_for_status()
    return TURNS


def tokens(client: Client) -> int:
    body = {"message": "Go on.", "stream": True, "model": f"tokens-{TOKENS}"}
    for _ in range(STREAMS):
        client.post("/api/chat", json=body).raise_for_status()
    return STREAMS * TOKENS


def prepare(folder: Path) -> None:
    """The settings that every server starts from; nothing of the caller's own."""
    for name in [name for name in os.environ if name.startswith(("SENTRY_", "CHAT_"))]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "chatproject.settings",
        "ENV_FILE": str(folder / "none"),
        "SECRET_KEY": secrets.token_urlsafe(40),
    }


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """{work: {set-up: microseconds of each round}}."""
    found: dict[str, dict[str, list[float]]] = {"blocking turn": {}, "streamed token": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        provider, ingest = stack.enter_context(Provider()), stack.enter_context(Ingest())
        databases = Databases(folder)
        fake = {"CHAT_PROVIDERS": "fake", "CHAT_DEFAULT_PROVIDER": "fake", "FAKE_MODEL": "echo"}
        fake["FAKE_BASE_URL"] = provider.url
        servers = {
            name: stack.enter_context(Server(databases.new(), databases.keys, **fake, **environment))
            for name, environment in environments(ingest.dsn).items()
        }
        for number in range(rounds + 1):
            for name, server in servers.items():
                client = server.client()
                for work, act in (("blocking turn", turns), ("streamed token", tokens)):
                    cost = spent(server, lambda act=act, client=client: act(client))
                    if number:  # the first round warms up
                        found[work].setdefault(name, []).append(cost)
                ingest.clear()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    found = measure(parser.parse_args().rounds)
    print(f"{'':22}{'CPU, us':>10}{'over no DSN (spread)':>30}")
    for work, costs in found.items():
        print(work)
        base = costs["no DSN"]
        for name, values in costs.items():
            parts = [sum(values[start::PARTS]) / sum(base[start::PARTS]) - 1 for start in range(PARTS)]
            ratio = f"{sum(values) / sum(base) - 1:+.0%} ({min(parts):+.0%} to {max(parts):+.0%})"
            print(f"  {name:<20}{statistics.mean(values):>10,.1f}{ratio:>30}")


if __name__ == "__main__":
    main()
