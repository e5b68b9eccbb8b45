"""Makes .env: .env.example with a random SECRET_KEY, readable by its owner alone."""

import os
import secrets
from pathlib import Path

from chatproject.start.preflight import ROOT, CannotStart

EMPTY = "\nSECRET_KEY=\n"


def create(path: Path = ROOT / ".env", example: Path = ROOT / ".env.example") -> bool:
    """Returns False, and leaves the file alone, when there is one."""
    text = example.read_text(encoding="utf-8")
    if EMPTY not in text:
        raise CannotStart(f"{example.name} has lost its line `SECRET_KEY=`, so {path.name} cannot be made from it.")
    try:
        # Exclusively: two starts at once must not swap each other's key.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.replace(EMPTY, f"\nSECRET_KEY={secrets.token_urlsafe(48)}\n"))
    return True
