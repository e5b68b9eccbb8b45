"""Measures our server beside LiteLLM's proxy and Portkey's gateway; benchmarks/README.md says what and how.

    .venv/bin/python -m benchmarks [NAME ...] [--quick] [--peers LiteLLM,Portkey] [--database sqlite|postgres]

NAME is blocking, streams, many, growth or memory; without one, all of them. Each writes benchmarks/results/NAME.json,
and the plot is drawn anew from these.
"""

import argparse
import importlib
import signal
import sys
import time

from benchmarks import plot
from benchmarks.peers import PEERS
from benchmarks.results import Options

MEASUREMENTS = ("blocking", "streams", "many", "growth", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=(*MEASUREMENTS, []))
    parser.add_argument("--quick", action="store_true", help="fewer rounds and less data: minutes, and a wider spread")
    parser.add_argument("--peers", default=",".join(PEERS), help="whom to compare with; empty: nobody")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="")
    parser.add_argument("--rounds", type=int, default=0)
    given = parser.parse_args()
    peers = tuple(name for name in given.peers.split(",") if name)
    options = Options(quick=given.quick, peers=peers, database=given.database, rounds=given.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended as well
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name in given.names or MEASUREMENTS:
        begun = time.monotonic()
        report = importlib.import_module(f"benchmarks.{name}").run(options)
        report.finish()
        print(f"  ({time.monotonic() - begun:.0f} s)")
    plot.draw()


if __name__ == "__main__":
    main()
