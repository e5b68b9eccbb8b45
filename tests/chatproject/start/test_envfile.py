"""The .env of a first start."""

import stat
from pathlib import Path

import pytest

from chatproject.start import envfile
from chatproject.start.preflight import ROOT, CannotStart


def test_it_is_the_example_with_a_random_key_for_the_owner_alone(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        assert envfile.create(tmp_path / name)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        texts.append((tmp_path / name).read_text().splitlines())
    example = (ROOT / ".env.example").read_text().splitlines()
    changed = [(old, one, two) for old, one, two in zip(example, *texts, strict=True) if (old, old) != (one, two)]
    [(old, one, two)] = changed
    assert old == "SECRET_KEY="
    assert one != two
    assert len(one.removeprefix("SECRET_KEY=")) >= 50


def test_it_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("SECRET_KEY=mine\n")
    assert not envfile.create(path)
    assert path.read_text() == "SECRET_KEY=mine\n"


def test_it_refuses_an_example_without_a_place_for_the_key(tmp_path: Path) -> None:
    example = tmp_path / ".env.example"
    example.write_text("DEBUG=false\n")
    with pytest.raises(CannotStart, match="has lost its line `SECRET_KEY=`"):
        envfile.create(tmp_path / ".env", example)
    assert not (tmp_path / ".env").exists()
