"""3. A thousand streams at once, of 50 tokens, 10 a second: errors, time to first token, memory, database connections.

All are begun in the same moment, which is the hardest way. Where the machine cannot bring 10,000 tokens a second the
streams take longer, which the time of the last one shows; nothing is left out.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import uvloop

from benchmarks import load
from benchmarks.processes import resident_mb, workers
from benchmarks.results import Options, Report, quantile
from benchmarks.stage import OURS, PROVIDER, Stage, stage
from benchmarks.streaming import warmed_up
from benchmarks.target import WORKERS, Target
from tests.fakes.database import is_sqlite, name_in

STREAMS, TOKENS, GAP = 1_000, 50, 0.1
EVERY = 0.25
"""Seconds between two looks at memory and connections."""


@dataclass
class Seen:
    """Of one server; a value for each round."""

    errors: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    """Time to first token, ms."""
    last: list[float] = field(default_factory=list)
    """Seconds until the last stream ends."""
    memory: list[float] = field(default_factory=list)
    """KB a stream."""
    connections: list[float] = field(default_factory=list)
    """To the database, a worker."""


def run(options: Options) -> Report:
    on_postgres = options.on_postgres("postgres")
    report = Report("many", options, "postgres" if on_postgres else "sqlite")
    with stage(peers=options.peers, gap=GAP, on_postgres=on_postgres) as scene:
        targets = warmed_up(report, scene.targets)
        seen = {name: Seen() for name in targets}
        for _ in range(options.of(1, 2)):
            for name, target in targets.items():
                once(scene, target, seen[name])
                if kinds := seen[name].kinds:
                    report.facts[f"errors of {name}"] = dict(kinds)
    for name, one in seen.items():
        tell(report, name, one, seen[PROVIDER])
    return report


def once(scene: Stage, target: Target, seen: Seen) -> None:
    pids = workers(target.pid) if target.name != PROVIDER else []
    before = sum(map(resident_mb, pids))
    with (
        highest(lambda: sum(map(resident_mb, pids))) as memory,
        highest(lambda: connections(scene) if target.name == OURS else 0) as used,
    ):
        found = uvloop.run(load.streams(target, count=STREAMS, tokens=TOKENS))
    seen.errors.append(found.errors)
    seen.kinds += found.kinds
    seen.p50.append(quantile(found.first, 0.5) * 1000)
    seen.p99.append(quantile(found.first, 0.99) * 1000)
    seen.last.append(found.wall)
    seen.memory.append((max(memory) - before) * 1000 / STREAMS)
    seen.connections.append(max(used) / WORKERS)


@contextmanager
def highest(look: Callable[[], float]) -> Iterator[list[float]]:
    """Looks every now and then until the end of the `with`; yields what is seen."""
    seen, ended = [look()], threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            seen.append(look())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def connections(scene: Stage) -> int:
    """How many our server has to its database."""
    url = scene.database.url
    if is_sqlite(url):
        file = url.removeprefix("sqlite:///")
        return sum(opened(pid, file) for pid in workers(scene.ours.pid))
    with psycopg.connect(url, dbname="postgres") as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        row = connection.execute(asked, [name_in(url)]).fetchone()
        return int(row[0]) if row else 0


def opened(pid: int, file: str) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found += os.readlink(descriptor) == file
    return found


def tell(report: Report, name: str, seen: Seen, direct: Seen) -> None:
    mine = name == OURS
    report.add(f"{name}: errors of {STREAMS:,}", seen.errors, **({"at_most": 0} if mine else {}))
    report.add(f"{name}: until the last stream ends", seen.last, "s")
    for which, own, base in (("p50", seen.p50, direct.p50), ("p99", seen.p99, direct.p99)):
        if name == PROVIDER:
            report.add(f"{name}: time to first token {which}", own, "ms")
        else:
            added = [one - other for one, other in zip(own, base, strict=True)]
            report.add(f"{name}: added time to first token {which}", added, "ms")
    if name != PROVIDER:
        report.add(f"{name}: memory per stream", seen.memory, "KB", **({"at_most": 60} if mine else {}))
    if mine:
        report.add(f"{name}: database connections per worker", seen.connections, at_most=8)
