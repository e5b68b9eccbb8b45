"""Draws benchmarks/results/benchmarks.svg: what our server takes or brings, with LiteLLM's as 1."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"

# (measurement, name of its row, what the plot calls it, whether more is better)
BARS = (
    ("blocking", "ours / LiteLLM: turns/s at 32", "turns a second, 32 connections", True),
    ("blocking", "ours / LiteLLM: added latency p50 at 1", "added latency, 1 connection", False),
    ("blocking", "ours / LiteLLM: CPU of a turn at 32", "CPU of a turn, 32 connections", False),
    ("streams", "ours / LiteLLM: at 20", "CPU of a token, 20 streams", False),
    ("streams", "ours / LiteLLM: at 200", "CPU of a token, 200 streams", False),
    ("memory", "ours / LiteLLM: memory of a worker", "memory of a worker", False),
    ("memory", "ours / LiteLLM: cold start", "cold start", False),
)
TITLE = "Our server with all its work on; 1 is LiteLLM's proxy without a database"
WIDTH, LEFT, ROW, TOP = 830, 320, 30, 44
GOOD, BAD, INK = "#2f855a", "#c05621", "#4a5568"


def draw() -> None:
    found = [(label, more, row) for name, what, label, more in BARS if (row := row_of(name, what))]
    if found:
        (FOLDER / "benchmarks.svg").write_text(picture(found))


def row_of(name: str, what: str) -> dict[str, Any] | None:
    file = FOLDER / f"{name}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    return next((row for row in rows if row["what"] == what), None)


def picture(bars: list[tuple[str, bool, dict[str, Any]]]) -> str:
    scale = (WIDTH - LEFT - 70) / max(1.2, *(row["max"] for _, _, row in bars))
    height = TOP + ROW * len(bars) + 16
    one = LEFT + scale
    body = [bar(TOP + ROW * number, scale, *each) for number, each in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            f' font-size="13" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="12" y="22" font-weight="bold">{TITLE}</text>',
            *body,
            f'<path d="M{one:.1f} {TOP - 8}V{height - 10}" stroke="{INK}" stroke-dasharray="4 3"/>',
            "</svg>\n",
        ]
    )


def bar(top: int, scale: float, label: str, more: bool, row: dict[str, Any]) -> str:
    """A row: the median as a bar, the rounds' spread as a line. Green is the better side of 1."""
    median, low, high = row["median"], row["min"], row["max"]
    color = GOOD if (median > 1) == more else BAD
    middle = top + 10
    ends = f"M{LEFT + low * scale:.1f} {middle}H{LEFT + high * scale:.1f}"
    return (
        f'<text x="{LEFT - 10}" y="{top + 15}" text-anchor="end">{label}{"" if more else " (less is better)"}</text>'
        f'<rect x="{LEFT}" y="{top}" width="{median * scale:.1f}" height="20" fill="{color}"/>'
        f'<path d="{ends}" stroke="{INK}" stroke-width="2"/>'
        f'<text x="{LEFT + max(median, high) * scale + 8:.1f}" y="{top + 15}">{median:.2f} x</text>'
    )
