"""What is in deploy/, read as the programs read it that it is for."""

import configparser
import re
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.database import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").iterdir())


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def manifests(kind: str) -> list[dict[str, Any]]:
    return [found for path in KUBERNETES for found in documents(path) if found["kind"] == kind]


def manifest(kind: str) -> dict[str, Any]:
    """The one of this kind."""
    [found] = manifests(kind)
    return found


def compose() -> dict[str, Any]:
    [found] = documents(DEPLOY / "compose.yaml")
    return found


def dotenv(path: Path) -> dict[str, str]:
    """The variables that a file like .env.example names, those that are commented out included."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", path.read_text(), re.MULTILINE))


def unit(name: str) -> configparser.ConfigParser:
    """A systemd unit. What it says twice has its last value only."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / name)
    return parser


def unit_environment(name: str) -> dict[str, str]:
    pairs = unit(name)["Service"].get("Environment", "").split()
    return dict(pair.split("=", 1) for pair in pairs)


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, the rest) of the Dockerfile, lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


def image_environment() -> dict[str, str]:
    """What the last stage of the Dockerfile sets."""
    last = max(number for number, (name, _) in enumerate(instructions()) if name == "FROM")
    pairs = [pair for name, rest in instructions()[last:] if name == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)
