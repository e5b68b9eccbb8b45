"""1. Blocking turns per second at 1 to 64 connections, the latency added to the provider's, and the CPU of a turn."""

from dataclasses import dataclass, field

import uvloop

from benchmarks import load
from benchmarks.processes import cpu_seconds
from benchmarks.results import Options, Report, quantile, ratios
from benchmarks.stage import OURS, PROVIDER, Stage, stage
from benchmarks.target import Target

CONNECTIONS = (1, 8, 32, 64)
SECONDS = 3
TOKENS = 50


@dataclass
class Seen:
    """Of one server at one number of connections; a value for each round."""

    rate: list[float] = field(default_factory=list)
    """Turns a second."""
    p50: list[float] = field(default_factory=list)
    """ms."""
    cpu: list[float] = field(default_factory=list)
    """ms a turn, of all of its processes."""
    errors: int = 0


def run(options: Options) -> Report:
    on_postgres = options.on_postgres("sqlite")
    report = Report("blocking", options, "postgres" if on_postgres else "sqlite")
    with stage(peers=options.peers, on_postgres=on_postgres) as scene:
        for target in scene.targets.values():
            uvloop.run(load.turns(target, connections=8, seconds=SECONDS))  # warms up
        seen = measure(scene, options.of(2, 5))
        report.facts["upstream"] = scene.counts()
    for connections in CONNECTIONS:
        tell(report, connections, {name: seen[name, connections] for name in scene.targets})
    return report


def measure(scene: Stage, rounds: int) -> dict[tuple[str, int], Seen]:
    seen = {(name, connections): Seen() for name in scene.targets for connections in CONNECTIONS}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for name, target in scene.targets.items():
                once(target, connections, seen[name, connections])
    return seen


def once(target: Target, connections: int, seen: Seen) -> None:
    before = cpu_seconds(target.pid)
    found = uvloop.run(load.turns(target, connections=connections, seconds=SECONDS, tokens=TOKENS))
    turns = max(len(found.latencies), 1)
    seen.cpu.append((cpu_seconds(target.pid) - before) * 1000 / turns)
    seen.rate.append(len(found.latencies) / found.wall)
    seen.p50.append(quantile(found.latencies, 0.5) * 1000)
    seen.errors += found.errors


def tell(report: Report, connections: int, seen: dict[str, Seen]) -> None:
    at = f"at {connections}"
    added = {
        name: [p50 - direct for p50, direct in zip(one.p50, seen[PROVIDER].p50, strict=True)]
        for name, one in seen.items()
    }
    for name, one in seen.items():
        report.add(f"{name}: turns/s {at}", one.rate)
        if name != PROVIDER:
            report.add(f"{name}: added latency p50 {at}", added[name], "ms")
            report.add(f"{name}: CPU of a turn {at}", one.cpu, "ms")
        report.add(f"{name}: errors {at}", [one.errors], **({"at_most": 0} if name == OURS else {}))
    for peer in report.options.peers:
        least = {"LiteLLM": 2.5, "Portkey": 0.6}.get(peer) if connections == 32 else None
        most = 0.4 if (peer, connections) == ("LiteLLM", 1) else None
        report.add(f"ours / {peer}: turns/s {at}", ratios(seen[OURS].rate, seen[peer].rate), "x", at_least=least)
        report.add(f"ours / {peer}: added latency p50 {at}", ratios(added[OURS], added[peer]), "x", at_most=most)
        report.add(f"ours / {peer}: CPU of a turn {at}", ratios(seen[OURS].cpu, seen[peer].cpu), "x")
