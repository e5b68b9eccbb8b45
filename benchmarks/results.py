"""What was measured, as a table for people and as JSON in benchmarks/results/."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers import VERSIONS, node_version

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    quick: bool = False
    peers: tuple[str, ...] = tuple(VERSIONS)
    database: str = ""
    """"sqlite" or "postgres"; empty: what the measurement prefers."""
    rounds: int = 0
    """0: as many as the measurement and `quick` say."""

    def on_postgres(self, preferred: str) -> bool:
        return (self.database or preferred) == "postgres"

    def of(self, quick: int, full: int) -> int:
        """Rounds."""
        return self.rounds or (quick if self.quick else full)


@dataclass
class Report:
    """The rows of one measurement. A row is one figure, with its value in each round."""

    name: str
    options: Options
    database: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What else there is to know, such as what the upstream has counted."""
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(
        self,
        what: str,
        values: Sequence[float],
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """A figure; its median is held against the target, if it has one. No values, no row: there was no such peer."""
        if not values:
            return
        median = statistics.median(values)
        row = {"what": what, "unit": unit, "median": median, "min": min(values), "max": max(values)}
        if at_least is not None:
            row |= {"target": f">= {at_least:g}", "met": median >= at_least}
        if at_most is not None:
            row |= {"target": f"<= {at_most:g}", "met": median <= at_most}
        self.rows.append({**row, "rounds": [round(value, 6) for value in values]})

    def finish(self) -> None:
        """Prints the table and writes the file."""
        print(f"\n{self.name}, {self.database}: median (min to max)")
        for row in self.rows:
            spread = f"{short(row['median'])} ({short(row['min'])} to {short(row['max'])}) {row['unit']}"
            verdict = f"{row['target']}: {'met' if row['met'] else 'MISSED'}" if "target" in row else ""
            print(f"  {row['what']:<58}{spread:<36}{verdict}")
        for what, said in self.facts.items():
            print(f"  {what}: {said}")
        FOLDER.mkdir(exist_ok=True)
        document = {
            "measurement": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "quick": self.options.quick,
            "database": self.database,
            "machine": machine() | {"load_average_before": round(self.load_before, 2)},
            "peers": {name: VERSIONS[name] for name in self.options.peers},
            "facts": self.facts,
            "rows": self.rows,
        }
        text = json.dumps(document, indent=1, default=str)
        (FOLDER / f"{self.name}.json").write_text(text + "\n")


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of each round: both were measured within seconds of each other, so that a drift of the machine cancels out."""
    return [one / other for one, other in zip(ours, theirs, strict=True) if other > 0]


def short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def machine() -> dict[str, Any]:
    cpus = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in cpus.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "node": node_version(),
    }


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
