"""2. The server's CPU for each streamed token at 1, 20 and 200 streams of 50 tokens, 10 a second.

The turn itself is in it, a fiftieth of it in each token, and so is what the server does when it is idle, which weighs
most with one stream: that is measured by itself as well. Our server runs SQLite in its own process by default, so that
the database is in it too.
"""

import time

import uvloop

from benchmarks import load
from benchmarks.processes import cpu_seconds
from benchmarks.results import Options, Report, ratios
from benchmarks.stage import OURS, PROVIDER, stage
from benchmarks.streaming import warmed_up
from benchmarks.target import Target

COUNTS = (1, 20, 200)
TOKENS, GAP = 50, 0.1
IDLE = 3
"""Seconds."""


def run(options: Options) -> Report:
    on_postgres = options.on_postgres("sqlite")
    report = Report("streams", options, "postgres" if on_postgres else "sqlite")
    with stage(peers=options.peers, gap=GAP, on_postgres=on_postgres) as scene:
        targets = warmed_up(report, scene.targets)
        del targets[PROVIDER]
        cost: dict[tuple[str, int], list[float]] = {(name, count): [] for name in targets for count in COUNTS}
        idle: dict[str, list[float]] = {name: [] for name in targets}
        errors = dict.fromkeys(cost, 0)
        for _ in range(options.of(1, 3)):
            for count in COUNTS:
                for name, target in targets.items():
                    spent, failed = cpu_per_token(target, count)
                    cost[name, count].append(spent)
                    errors[name, count] += failed
            for name, target in targets.items():
                idle[name].append(cpu_when_idle(target))
    for name in targets:
        report.add(f"{name}: CPU when idle", idle[name], "ms/s")
    for count in COUNTS:
        most = {"at_most": 200.0} if count == 200 else {}
        for name in targets:
            report.add(f"{name}: CPU per token at {count}", cost[name, count], "us", **(most if name == OURS else {}))
            report.add(f"{name}: errors at {count}", [errors[name, count]])
        for peer in targets.keys() - {OURS}:
            limit = {"at_most": 0.25} if (peer, count) == ("LiteLLM", 200) else {}
            report.add(f"ours / {peer}: at {count}", ratios(cost[OURS, count], cost[peer, count]), "x", **limit)
    return report


def cpu_per_token(target: Target, count: int) -> tuple[float, int]:
    """Microseconds, and how many streams failed."""
    before = cpu_seconds(target.pid)
    found = uvloop.run(load.streams(target, count=count, tokens=TOKENS))
    return (cpu_seconds(target.pid) - before) * 1e6 / max(found.tokens, 1), found.errors


def cpu_when_idle(target: Target) -> float:
    """Milliseconds a second."""
    before = cpu_seconds(target.pid)
    time.sleep(IDLE)
    return (cpu_seconds(target.pid) - before) * 1000 / IDLE
