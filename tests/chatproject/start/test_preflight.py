"""A start that cannot succeed ends in one clear line."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatproject.start import preflight
from chatproject.start.preflight import ROOT, CannotStart
from providers.registry import PRESETS

OLD_PYTHON = f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 13); $2"\n'
NEW_PYTHON = f'#!/bin/sh\nexec {sys.executable} "$@"\n'


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The Makefile in `folder`, so that no virtual environment of this checkout takes part."""
    search = f"{path}:/usr/bin:/bin" if path else os.environ["PATH"]
    environment = {"PATH": search, "HOME": os.environ.get("HOME", "/")}
    command = ["make", "-f", str(ROOT / "Makefile"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chatproject.start", "run"]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


class ModelHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/v1/models"
        body = json.dumps({"object": "list", "data": []} if found else {"detail": "not found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def busy() -> Iterator[int]:
    """A port where an OpenAI-compatible server listens, under /v1 alone."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ModelHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_it_refuses_an_old_python_by_name(tmp_path: Path) -> None:
    old = script(tmp_path / "old", OLD_PYTHON)
    done = make(tmp_path, "run", f"PYTHON={old}")
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert str(old) in done.stderr


def test_it_takes_the_first_python_that_is_new_enough(tmp_path: Path) -> None:
    names = ("python3", "python3.15", "python3.14")
    for name, text in zip(names, (OLD_PYTHON, "#!/bin/sh\nexit 127\n", NEW_PYTHON), strict=True):
        script(tmp_path / name, text)
    done = make(tmp_path, "--dry-run", "run", path=tmp_path)
    assert "python3.14 -m chatproject.start run" in done.stdout, done.stderr


def test_it_prefers_the_virtual_environment_that_it_made(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "made-with").write_text("3.11")
    script(tmp_path / ".venv" / "bin" / "python", NEW_PYTHON)
    done = make(tmp_path, "--dry-run", "run")
    assert ".venv/bin/python -m chatproject.start run" in done.stdout, done.stderr


def test_it_refuses_a_taken_port(busy: int) -> None:
    done = start(PORT=str(busy), CHAT_PROVIDERS="openai")
    assert done.returncode == 1
    assert done.stderr == f"Port {busy} is taken; choose another one: make run PORT={busy + 1}.\n"
    assert done.stdout == ""


def test_it_refuses_a_taken_port_of_the_embedded_model(busy: int) -> None:
    done = start(PORT="8210", LOCAL_BASE_URL=f"http://127.0.0.1:{busy}/v2")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Port {busy} is taken; it is for the embedded model; set another one in LOCAL")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8000.0", "٨٠٠٠"])
def test_it_refuses_a_port_that_is_none(port: str) -> None:
    done = start(PORT=port)
    assert (done.returncode, done.stderr) == (1, "PORT must be a whole number from 1 to 65535.\n")


def test_it_refuses_a_number_of_workers_that_is_none() -> None:
    done = start(WEB_CONCURRENCY="many")
    assert (done.returncode, done.stderr) == (1, "WEB_CONCURRENCY must be a whole number from 1 to 1000.\n")


def test_a_model_that_already_answers_is_welcome(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8210")
    monkeypatch.setenv("LOCAL_BASE_URL", f"http://127.0.0.1:{busy}/v1")
    preflight.check_ports()


def test_the_models_port_does_not_matter_without_the_model(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8210")
    monkeypatch.setenv("LOCAL_BASE_URL", f"http://127.0.0.1:{busy}/v2")
    monkeypatch.setenv("CHAT_PROVIDERS", "openai, ollama")
    preflight.check_ports()


def test_it_says_how_much_disk_is_needed_and_free(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=rf"in {tmp_path}: 999999999 MB are needed, \d+ MB are free\.$"):
        preflight.check_disk(tmp_path, 999_999_999)
    preflight.check_disk(tmp_path, 1)


def test_it_names_the_package_of_a_missing_module() -> None:
    with pytest.raises(CannotStart, match=r"lacks its no_such_module module; .* apt-get install python3-venv"):
        preflight.check_python(["venv", "no_such_module"])
    preflight.check_python()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment with PORT=1\n\nPORT='9001'\nexport HOST=localhost\nCHAT_PROVIDERS=\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    assert preflight.server_address() == ("localhost", 9001)
    assert preflight.local_url() == preflight.LOCAL_BASE_URL
    monkeypatch.setenv("PORT", "9002")
    assert preflight.server_address() == ("localhost", 9002)


def test_the_default_of_the_model_is_the_registrys() -> None:
    assert [preset.base_url for preset in PRESETS if preset.name == "local"] == [preflight.LOCAL_BASE_URL]
