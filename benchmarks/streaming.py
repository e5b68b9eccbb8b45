"""Which servers can be measured with streams."""

import uvloop

from benchmarks import load
from benchmarks.results import Report
from benchmarks.stage import OURS, PROVIDER
from benchmarks.target import Target


def warmed_up(report: Report, targets: dict[str, Target]) -> dict[str, Target]:
    """Those that bring their streams, warm. A peer that fails all of them is left out, and the report says so.

    Raises RuntimeError when the upstream or our server is the one that fails.
    """
    good = {}
    for name, target in targets.items():
        found = uvloop.run(load.streams(target, count=50))
        if found.tokens:
            good[name] = target
        elif name in (PROVIDER, OURS):
            raise RuntimeError(f"{name} brings no streamed token")
        else:
            report.facts.setdefault("left out", []).append(f"{name}: each of {found.errors} streams failed")
    return good
