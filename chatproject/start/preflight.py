"""The checks before a start, so that one that cannot succeed ends in one clear line.

They run before anything is installed; so the few variables that they need are read here, as settings.py will see
them: the environment wins over the file .env.
"""

import errno
import http.client
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]

LOCAL_BASE_URL = "http://127.0.0.1:8099/v1"
"""Where the embedded model listens by default: the same as in providers/registry.py, which needs Django."""

RUNNING_MB = 100
"""Room for the database and the logs of a server that is already installed."""

PIP_TEMPORARY_MB = 300
"""What pip unpacks and downloads beside the virtual environment."""


class CannotStart(Exception):
    """A start that cannot succeed; the text is the one line that the user needs."""


def variable(name: str, default: str = "") -> str:
    """A variable of the environment, else of the file ENV_FILE or .env, else `default`; empty counts as unset."""
    value = os.environ.get(name)
    if value is None:
        path = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        pairs = dict(line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and line[0] != "#")
        value = pairs.get(name, "").strip().strip("'\"")
    return value.strip() or default


def whole_number(name: str, default: int, low: int, high: int) -> int:
    value = variable(name, str(default))
    if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
        raise CannotStart(f"{name} must be a whole number from {low} to {high}.")
    return int(value)


def server_address() -> tuple[str, int]:
    """The host and port that gunicorn.conf.py will bind."""
    return variable("HOST", "127.0.0.1"), whole_number("PORT", 8000, 1, 65535)


def local_url() -> str | None:
    """Where the embedded model will listen; None when CHAT_PROVIDERS leaves it out."""
    names = [name.strip() for name in variable("CHAT_PROVIDERS").split(",")]
    return variable("LOCAL_BASE_URL", LOCAL_BASE_URL) if names == [""] or "local" in names else None


def check_python(modules: Iterable[str] = ("venv", "ensurepip")) -> None:
    """That this Python can make a virtual environment: Debian packages that part apart."""
    for module in modules:
        if find_spec(module) is None:
            raise CannotStart(f"This Python lacks its {module} module; on Debian: apt-get install python3-venv.")


def check_disk(path: Path, needed_mb: int) -> None:
    free_mb = shutil.disk_usage(path).free // 10**6
    if free_mb < needed_mb:
        raise CannotStart(f"Not enough disk space in {path}: {needed_mb} MB are needed, {free_mb} MB are free.")


def check_room(install_mb: int) -> None:
    """`install_mb` is what is still to be installed, in megabytes."""
    check_disk(ROOT, install_mb + RUNNING_MB)
    if install_mb:
        check_disk(Path(tempfile.gettempdir()), PIP_TEMPORARY_MB)


def check_ports() -> None:
    """That the server's port is free, and the embedded model's, unless a model already answers there."""
    whole_number("WEB_CONCURRENCY", 1, 1, 1000)
    host, port = server_address()
    check_port(host, port, f"choose another one: make run PORT={port + 1 if port < 65535 else 8000}")
    url = local_url()
    if url is None or model_answers(url):
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return  # settings.py has the words for a malformed URL
    if host in {"127.0.0.1", "localhost", "::1"}:
        check_port(host, port, "it is for the embedded model; set another one in LOCAL_BASE_URL")


def check_port(host: str, port: int, advice: str) -> None:
    """Raises CannotStart when nothing can listen at `host` and `port`."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the servers do: connections that linger from the last run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise CannotStart(f"Port {port} is reserved for root; {advice}.") from None
        except OSError as error:
            taken = f"Port {port} is taken" if _in_use(error) else f"Cannot listen at {host}:{port} ({error.strerror})"
            raise CannotStart(f"{taken}; {advice}.") from None


def _in_use(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def model_answers(base_url: str) -> bool:
    """Whether an OpenAI-compatible server answers at `base_url`, within 2 seconds."""
    status, body = get(f"{base_url}/models")
    try:
        return status == 200 and "data" in json.loads(body)
    except (ValueError, TypeError):
        return False


def get(url: str) -> tuple[int, bytes]:
    """The status and body of a GET; (0, b"") when nothing answers within 2 seconds. No proxy is asked."""
    try:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    except ValueError:
        return 0, b""
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
