"""A real Bugsink, which takes errors as Sentry does and groups them into issues: its API tells what became of them.

It pins other versions than the server, so it lives in a virtual environment of its own: `make bugsink` makes it.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.fakes.database import ROOT
from tests.fakes.waiting import poll

VENV = ROOT / ".venv-bugsink"
PYTHON = VENV / "bin" / "python"
KEY = "b0b5ca1ed0f00d5eb0b5ca1ed0f00d5e"

SETTINGS = """
from bugsink.settings.default import *

SECRET_KEY = "only-for-tests"
SNAPPEA = {"TASK_ALWAYS_EAGER": True}  # an event is stored before its sender gets the answer
PLENTY = 1_000_000
BUGSINK = {
    "SINGLE_USER": True,
    "SINGLE_TEAM": True,
    "USER_REGISTRATION": "CB_NOBODY",
    "PHONEHOME": False,
    "VALIDATE_ON_DIGEST": "strict",  # stores nothing that does not fit Sentry's schema
    "INGEST_STORE_BASE_DIR": str(FOLDER / "ingestion"),
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": PLENTY,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": PLENTY,
    "MAX_EVENTS_PER_5_MINUTES": PLENTY,
    "MAX_EVENTS_PER_HOUR": PLENTY,
}
for name in DATABASES:
    DATABASES[name]["NAME"] = str(FOLDER / f"{name}.sqlite3")
    DATABASES[name]["OPTIONS"]["init_command"] = "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY;"
"""
PREPARE = f"""
import django
django.setup()
from django.core.management import call_command
from bsmain.models import AuthToken
from projects.models import Project
call_command("migrate", verbosity=0)
Project.objects.create(name="contract", sentry_key="{KEY}")
print(AuthToken.create_full_access().token)
"""


def installed() -> bool:
    return (VENV / "installed").exists()  # written last


class Bugsink:
    """Runs from `with` to its end, with one empty project."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bugsink-")
        self._log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx2.Client(timeout=20, trust_env=False)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def _start(self) -> None:
        folder = Path(self._folder.name)
        (folder / "bugsink_conf.py").write_text(f"from pathlib import Path\nFOLDER = Path({str(folder)!r})\n{SETTINGS}")
        # In a folder and an environment of its own: gunicorn and Django would pick up the server's.
        env = {"PATH": os.defpath, "PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "bugsink_conf"}
        prepared = subprocess.run(
            [PYTHON, "-c", PREPARE], cwd=folder, env=env, capture_output=True, text=True, timeout=120
        )
        assert prepared.returncode == 0, prepared.stderr
        self._http.headers["Authorization"] = f"Bearer {prepared.stdout.split()[-1]}"
        with self._log.open("wb") as log:
            command = [str(PYTHON), "-m", "gunicorn", "bugsink.wsgi", "--bind", "127.0.0.1:0", "--no-control-socket"]
            self._process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
        found = poll(lambda: re.search(r"Listening at: http://(\S+:\d+)", self.log()), 30, "Bugsink")
        self._http.base_url = f"http://{found[1]}"
        poll(self._answers, 30, "answer of Bugsink")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        return self._http.get("/health/ready").status_code == 200

    def _stop(self) -> None:
        self._http.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
        self._folder.cleanup()

    @property
    def dsn(self) -> str:
        return str(self._http.base_url).rstrip("/").replace("http://", f"http://{KEY}@") + "/1"

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def send(self, event: dict[str, Any]) -> None:
        """Hands over what an SDK has sent elsewhere. Only `event` tells whether it was stored."""
        lines = ({"event_id": event["event_id"], "dsn": self.dsn}, {"type": "event"}, event)
        envelope = "\n".join(json.dumps(line) for line in lines)
        response = self._http.post("/api/1/envelope/", content=envelope.encode())
        assert response.status_code == 200, f"{response.status_code}: {response.text[:500]}"

    def event(self, event_id: str) -> dict[str, Any]:
        """What it has stored of the event. Raises AssertionError when that is nothing."""
        return dict(self._get("events/lookup/", project=1, event_id=event_id))

    def issues(self) -> list[dict[str, Any]]:
        return list(self._get("issues/", project=1)["results"])

    def issue_of(self, event_id: str) -> str:
        return str(self.event(event_id)["issue"])

    def events(self, issue: str, search: str = "") -> list[dict[str, Any]]:
        """The newest 250 events of an issue, those that `search` finds (`tag:value`)."""
        return list(self._get("events/", issue=issue, q=search)["results"])

    def _get(self, path: str, **parameters: Any) -> Any:
        response = self._http.get(f"/api/canonical/0/{path}", params=parameters)
        assert response.status_code == 200, f"{response.status_code}: {response.text[:500]}"
        return response.json()
