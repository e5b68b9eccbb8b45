"""What a Sentry that is away costs: failed requests, latency, memory, and the time that a shutdown takes.

    .venv/bin/python -m benchmarks.sentry_outage [--turns N]

One gunicorn for each kind of outage and one without a DSN run side by side and take turns in blocks, so that a drift
of the machine's speed meets every one. Latency is that of a blocking turn, from the client's side. Every tenth turn
fails at the provider, so that there are errors to lose as well. Memory is the worker's resident set (Linux only).
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.sentry_overhead import prepare
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.ingest import KEY, Ingest
from tests.fakes.ports import free_port
from tests.fakes.provider import Provider
from tests.fakes.server import Server

BLOCK = 50
"""Turns of one server before it is the next one's turn."""

WARM_UP = 300
"""Turns before anything counts: pools, caches and the SDK's queue of 100 envelopes fill up first."""


@dataclass
class Case:
    """A server under one kind of outage, and what was measured of it."""

    name: str
    server: Server
    client: Client
    wrong: int = 0
    """Answers of another status than the provider's behaviour means."""
    blocks: list[float] = field(default_factory=list)
    """The median latency of each block, in seconds."""
    latencies: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """Resident set after each block, in MiB."""

    def turns(self, count: int) -> list[float]:
        taken = []
        for number in range(count):
            model, status = ("status-500", 502) if number % 10 == 9 else ("echo", 200)
            started = time.perf_counter()
            answer = self.client.post("/api/chat", json={"message": "What is the capital of France?", "model": model})
            taken.append(time.perf_counter() - started)
            self.wrong += answer.status_code != status
        return taken

    def block(self) -> None:
        taken = self.turns(BLOCK)
        self.latencies += taken
        self.blocks.append(statistics.median(taken))
        pages = int(Path(f"/proc/{self.server.workers()[0]}/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def stop(self) -> float:
        """Seconds from SIGTERM to the end; the graceful time-out is 28."""
        self.client.close()
        started = time.perf_counter()
        self.server.signal(15)  # type: ignore[arg-type]
        self.server.wait(40)
        return time.perf_counter() - started


def outages(stack: ExitStack) -> dict[str, str]:
    """The DSN of each kind of outage."""
    ingests = {name: stack.enter_context(Ingest()) for name in ("works", "hangs", "answers 429", "answers 500")}
    ingests["hangs"].hang()
    ingests["answers 429"].answer(429)
    ingests["answers 500"].answer(500)
    return {
        "no DSN": "",
        **{name: ingest.dsn for name, ingest in ingests.items()},
        "refuses": f"http://{KEY}@127.0.0.1:{free_port()}/1",
        "resolves nowhere": f"http://{KEY}@sentry.invalid/1",
    }


def measure(turns: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        databases, provider = Databases(folder), stack.enter_context(Provider())
        fake = {"CHAT_PROVIDERS": "fake", "CHAT_DEFAULT_PROVIDER": "fake", "FAKE_MODEL": "echo"}
        fake["FAKE_BASE_URL"] = provider.url
        # What fails is to fail at once, and each time.
        fake |= {"CHAT_RETRIES": "0", "CHAT_CIRCUIT_FAILURES": "0"}
        cases = []
        for name, dsn in outages(stack).items():
            server = stack.enter_context(Server(databases.new(), databases.keys, **fake, SENTRY_DSN=dsn))
            cases.append(Case(name, server, server.client()))
            cases[-1].turns(WARM_UP)
        for _ in range(turns // BLOCK):
            for case in cases:
                case.block()
            provider.clear()
        report(cases)


def report(cases: list[Case]) -> None:
    medians = {case.name: statistics.median(case.latencies) for case in cases}
    print(f"{len(cases[0].latencies):,} turns each; latency: the median (of the blocks of {BLOCK}: min-max)")
    print(f"{'Sentry':17}{'failed':>6}{'latency, ms':>20}{'no DSN':>8}{'works':>7}{'memory, MiB':>13}{'stop, s':>9}")
    for case in cases:
        median, blocks, memory = medians[case.name], case.blocks, case.memory
        spread = f"{median * 1e3:.1f} ({min(blocks) * 1e3:.1f}-{max(blocks) * 1e3:.1f})"
        over = f"{median / medians['no DSN'] - 1:>+8.0%}{median / medians['works'] - 1:>+7.0%}"
        grown = f"{memory[0]:.0f} -> {memory[-1]:.0f}"
        print(f"{case.name:17}{case.wrong:>6}{spread:>20}{over}{grown:>13}{case.stop():>9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2_000)
    measure(parser.parse_args().turns)


if __name__ == "__main__":
    main()
