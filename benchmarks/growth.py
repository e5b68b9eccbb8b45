"""4. What grows with the data: a turn in ever longer conversations; list, open and search among ever more.

The history that goes along with a turn is limited to what ten messages have, so that every turn sends the same prompt
and only the data differs. The p95 is that of requests one after the other.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import uvloop

from benchmarks import load
from benchmarks.fill import conversation_id
from benchmarks.processes import cpu_seconds
from benchmarks.results import Options, Report, quantile, ratios, short
from benchmarks.sentry_overhead import prepare
from benchmarks.stage import ours, upstream
from benchmarks.target import Read, Said, Target
from tests.fakes.database import Database, Databases
from tests.fakes.postgres import postgres

LENGTHS = (10, 1_000, 100_000)
SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (1_000, 100_000)
TURNS, READS = 20, 50
"""Of a round."""

HISTORY_TOKENS = "1000"

Url = Callable[[int], str]
"""Of a request, given the number of a conversation."""
READ: dict[str, Url] = {
    "list": lambda number: "/api/conversations?limit=20",
    "open": lambda number: f"/api/conversations/{conversation_id(number)}",
    "open: its messages": lambda number: f"/api/conversations/{conversation_id(number)}/messages",
    "search: one hit": lambda number: f"/api/conversations/search?q=number{number}",
    "search: a thousandth": lambda number: f"/api/conversations/search?q=talk{number % 1000}",
    "search: in every title": lambda number: "/api/conversations/search?q=about",
}
LIMITED = ("list", "open", "open: its messages")


def run(options: Options) -> Report:
    on_postgres = options.on_postgres("sqlite")
    report = Report("growth", options, "postgres" if on_postgres else "sqlite")
    sizes = QUICK_SIZES if options.quick else SIZES
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        url = stack.enter_context(postgres(folder / "postgres")) if on_postgres else ""
        port, _ = stack.enter_context(upstream())
        databases = Databases(folder, url)

        def serve(what: str, *counts: int) -> Target:
            database = databases.new()
            fill(database, what, *counts)
            environment = {"WEB_CONCURRENCY": "1", "FAKE_HISTORY_TOKENS": HISTORY_TOKENS}
            return stack.enter_context(ours(database, databases.keys, port, **environment))

        turns(report, serve("messages", *LENGTHS), options.of(3, 8))
        reads(report, {size: serve("conversations", size) for size in sizes}, options.of(3, 8))
    return report


def fill(database: Database, what: str, *counts: int) -> None:
    command = [sys.executable, "-m", "benchmarks.fill", what, *map(str, counts)]
    # In bulk it takes longer than a server may wait.
    environment = {**os.environ, "DATABASE_URL": database.url, "DATABASE_TIMEOUT": "0"}
    subprocess.run(command, env=environment, check=True)


def turns(report: Report, server: Target, rounds: int) -> None:
    targets = {
        length: Said(server.name, server.port, server.pid, server.headers, conversation=str(conversation_id(number)))
        for number, length in enumerate(LENGTHS, 1)
    }
    p50: dict[int, list[float]] = {length: [] for length in LENGTHS}
    cpu: dict[int, list[float]] = {length: [] for length in LENGTHS}
    for number in range(rounds + 1):
        for length, target in targets.items():
            before = cpu_seconds(target.pid)
            found = uvloop.run(load.turns(target, connections=1, count=TURNS, tokens=1))
            if found.errors:
                raise RuntimeError(f"{found.errors} of {TURNS} turns failed in a conversation of {length} messages")
            if number:  # the first round warms up
                cpu[length].append((cpu_seconds(target.pid) - before) * 1000 / TURNS)
                p50[length].append(quantile(found.latencies, 0.5) * 1000)
    for length in LENGTHS:
        report.add(f"turn, {length:,} messages: p50", p50[length], "ms")
        report.add(f"turn, {length:,} messages: CPU", cpu[length], "ms")
    first, last = LENGTHS[0], LENGTHS[-1]
    report.add(f"turn, {last:,} / {first}: p50", ratios(p50[last], p50[first]), "x")
    report.add(f"turn, {last:,} / {first}: CPU", ratios(cpu[last], cpu[first]), "x", at_most=1.1)


def reads(report: Report, servers: dict[int, Target], rounds: int) -> None:
    chance = random.Random(1)
    p95: dict[tuple[str, int], list[float]] = {(what, size): [] for what in READ for size in servers}
    for number in range(rounds + 1):
        for what in READ:
            for size, server in servers.items():
                url = READ[what](chance.randint(1, size))
                target = Read(server.name, server.port, server.pid, server.headers, b'"created_at"', url=url)
                found = uvloop.run(load.turns(target, connections=1, count=READS))
                if found.errors:
                    raise RuntimeError(f"{found.errors} of {READS} requests failed: {url}")
                if number:
                    p95[what, size].append(quantile(found.latencies, 0.95) * 1000)
    first, last = min(servers), max(servers)
    for what in READ:
        for size in servers:
            report.add(f"{what}, {size:,} conversations: p95", p95[what, size], "ms")
        limit = {"at_most": 1.5} if what in LIMITED else {}
        report.add(f"{what}, {last:,} / {short(first)}: p95", ratios(p95[what, last], p95[what, first]), "x", **limit)
