"""`python -m tests.on_postgres [pytest's arguments]`: runs pytest on a PostgreSQL of its own, from a wheel.

Every test process makes databases of its own in it, see fakes/database.py and pytest-django's suffixes for xdist.
"""

import os
import subprocess
import sys

import psycopg

from tests.fakes.postgres import postgres

IN_A_HURRY = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""What is lost with the machine is made anew by the next run. Tests that kill a server have their own."""


def main(arguments: list[str]) -> int:
    """Returns pytest's exit status."""
    with postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in IN_A_HURRY:
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, env={**os.environ, "TEST_DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
