"""The embedded model, served as `make run` serves it: in a process of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.database import ROOT
from tests.fakes.ports import free_port
from tests.fakes.waiting import poll


@contextmanager
def local_model() -> Iterator[str]:
    """Its base URL, once it answers."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    with tempfile.NamedTemporaryFile(prefix="chat-model-") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve_local_model"],
            cwd=ROOT,
            env={**os.environ, "LOCAL_BASE_URL": url},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            said = Path(log.name)
            poll(lambda: "listens at" in said.read_text() or process.poll() is not None, 60, "model")
            assert process.poll() is None, said.read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)
