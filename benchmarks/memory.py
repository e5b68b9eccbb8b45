"""5. Cold start, the memory of a worker, and what it has grown by after 50,000 turns."""

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import uvloop

from benchmarks import load
from benchmarks.peers import PEERS
from benchmarks.processes import resident_mb, workers
from benchmarks.results import Options, Report, ratios
from benchmarks.sentry_overhead import prepare
from benchmarks.stage import OURS, ours, stage, upstream
from benchmarks.target import Target
from tests.fakes.database import Databases

TURNS = 50_000
WARM = 2_000
"""Turns before growth counts: pools, caches and the SDK's queue fill up first."""

CONNECTIONS = 16

Start = Callable[[], AbstractContextManager[Target]]


def run(options: Options) -> Report:
    report = Report("memory", options, "sqlite")
    starts, sizes = cold(options)
    for name, seconds in starts.items():
        report.add(f"{name}: cold start to the first answered turn", seconds, "s")
    for name, found in sizes.items():
        report.add(f"{name}: memory of a worker", found, "MB")
    for peer in options.peers:
        limit = {"at_most": 0.35} if peer == "LiteLLM" else {}
        report.add(f"ours / {peer}: memory of a worker", ratios(sizes[OURS], sizes[peer]), "x", **limit)
        report.add(f"ours / {peer}: cold start", ratios(starts[OURS], starts[peer]), "x")
    turns = 5_000 if options.quick else TURNS
    before, after, errors = grown(turns)
    report.add(f"ours: memory of a worker after {WARM:,} turns", before, "MB")
    report.add(f"ours: the same {turns:,} turns later", after, "MB")
    growth = [max(one - other for one, other in zip(after, before, strict=True))]
    report.add("ours: growth", growth, "MB", at_most=5 if turns == TURNS else None)
    report.add("ours: errors", [errors], at_most=0)
    return report


def cold(options: Options) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """{server: seconds of each start}, {server: MB of a worker after each start and 200 turns}."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        (port, _), databases = stack.enter_context(upstream()), Databases(folder)
        database = databases.new()
        starts: dict[str, Start] = {OURS: lambda: ours(database, databases.keys, port)}
        for name in options.peers:
            starts[name] = lambda name=name: PEERS[name](port, folder)  # type: ignore[misc]
        seconds: dict[str, list[float]] = {name: [] for name in starts}
        sizes: dict[str, list[float]] = {name: [] for name in starts}
        for number in range(options.of(1, 3) + 1):
            for name, start in starts.items():
                begun = time.perf_counter()
                with start() as target:
                    uvloop.run(load.turns(target, connections=1, count=1))
                    if not number:
                        continue  # the first one reads the disk, or installs it
                    seconds[name].append(time.perf_counter() - begun)
                    uvloop.run(load.turns(target, connections=8, count=200))
                    found = [resident_mb(pid) for pid in workers(target.pid)]
                    sizes[name].append(sum(found) / len(found))
        return seconds, sizes


def grown(turns: int) -> tuple[list[float], list[float], int]:
    """MB of each worker before and after so many turns, and how many of these failed."""
    with stage(peers=()) as scene:
        uvloop.run(load.turns(scene.ours, connections=CONNECTIONS, count=WARM))
        pids = workers(scene.ours.pid)
        before = [resident_mb(pid) for pid in pids]
        found = uvloop.run(load.turns(scene.ours, connections=CONNECTIONS, count=turns))
        return before, [resident_mb(pid) for pid in pids], found.errors
