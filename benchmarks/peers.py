"""The servers that ours is compared with, installed on demand under .bench/, outside of the project's environment."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import running
from benchmarks.target import WORKERS, OpenAI, Target
from tests.fakes.ports import free_port

FOLDER = Path(__file__).resolve().parent.parent / ".bench"
VERSIONS = {"LiteLLM": "1.108.7", "Portkey": "1.15.2"}


def install_litellm() -> Path:
    """Its program."""
    folder, version = FOLDER / "litellm", VERSIONS["LiteLLM"]
    if stale(folder, version):
        print(f"Installing LiteLLM {version} into .bench (about a minute) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"litellm[proxy]=={version}"], check=True)
        installed(folder, version)
    return folder / "bin/litellm"


def install_portkey() -> Path:
    """The script that node runs."""
    folder, version = FOLDER / "portkey", VERSIONS["Portkey"]
    if stale(folder, version):
        print(f"Installing Portkey's gateway {version} into .bench ...", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--prefix", folder, f"@portkey-ai/gateway@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        installed(folder, version)
    return folder / "node_modules/@portkey-ai/gateway/build/start-server.js"


def stale(folder: Path, version: str) -> bool:
    marker = folder / "installed"
    return not marker.exists() or marker.read_text() != version


def installed(folder: Path, version: str) -> None:
    (folder / "installed").write_text(version)


@contextmanager
def litellm(upstream: int, folder: Path) -> Iterator[Target]:
    """Its proxy with a key and without a database, so that it stores nothing."""
    program, port, key = install_litellm(), free_port(), f"sk-{secrets.token_urlsafe(24)}"
    parameters = {"model": "openai/m", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": "m", "litellm_params": parameters}],
        "general_settings": {"master_key": key},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [str(program), "--config", str(file), "--port", str(port), "--num_workers", str(WORKERS)]
    # Otherwise its supervisor kills workers that take 5 seconds to start, as they do on a slow machine.
    command += ["--timeout_worker_healthcheck", "120"]
    ready = f"http://127.0.0.1:{port}/health/liveliness"
    with running(command, ready, LITELLM_LOCAL_MODEL_COST_MAP="True") as pid:
        yield OpenAI("LiteLLM", port, pid, {"Authorization": f"Bearer {key}"})


@contextmanager
def portkey(upstream: int, folder: Path) -> Iterator[Target]:
    """Its open-source gateway, one process, which stores nothing and checks no key."""
    script, port = install_portkey(), free_port()
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
    command = ["node", str(script), "--headless", f"--port={port}"]
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
    with running(command, f"http://127.0.0.1:{port}/", **environment) as pid:
        yield OpenAI("Portkey", port, pid, {**headers, "Authorization": "Bearer none"})


def node_version() -> str:
    """Empty where there is none."""
    try:
        return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except OSError:
        return ""


PEERS = {"LiteLLM": litellm, "Portkey": portkey}
