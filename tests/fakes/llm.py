"""llm, a client of OpenAI's protocol (https://llm.datasette.io), as its users run it.

What it brings along is none of the server's affair, so `make llm` gives it a virtual environment of its own.
"""

import json
import os
import subprocess
from pathlib import Path

from tests.fakes.database import ROOT

VENV = ROOT / ".venv-llm"

MODEL = """
- model_id: ours
  model_name: {model}
  api_base: {url}/v1
  api_key_name: ours
"""


def installed() -> bool:
    return (VENV / "installed").exists()  # written last


def run(folder: Path, url: str, key: str, *arguments: str, model: str = "echo") -> subprocess.CompletedProcess[str]:
    """Runs `llm` with its files in `folder`, and the server at `url` as its model `ours`."""
    (folder / "extra-openai-models.yaml").write_text(MODEL.format(model=model, url=url))
    (folder / "keys.json").write_text(json.dumps({"ours": key}))
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    command = [str(VENV / "bin" / "llm"), *arguments]
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
