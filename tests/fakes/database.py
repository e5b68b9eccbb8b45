"""Databases for the server processes that the tests start: migrated once, then copied for each."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).resolve().parent.parent.parent
USERS = ("alice", "bob", "carol", "dave")
PREPARE = f"""
from django.core.management import call_command
call_command("migrate", verbosity=0)
for user in {USERS}:
    call_command("create_api_key", user)
"""


class Database:
    """What a test may see of a server's database, past the server."""

    def __init__(self, url: str) -> None:
        self.url = url
        """As DATABASE_URL takes it."""

    def query(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Runs one statement, `?` for each parameter, and returns its rows, if it has any."""
        if is_sqlite(self.url):
            path = self.url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, timeout=20)) as file, file:
                file.row_factory = sqlite3.Row
                return [dict(row) for row in file.execute(sql, parameters)]
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            cursor = connection.execute(sql.replace("?", "%s").encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        return int(self.query(f"SELECT count(*) AS n FROM {table}")[0]["n"])


class Databases:
    """Makes databases under `folder`, or beside `admin_url` on PostgreSQL."""

    def __init__(self, folder: Path, admin_url: str = "") -> None:
        self._folder = folder
        self._admin_url = admin_url
        self._made: list[str] = []
        self._template = self._new_url()
        if not is_sqlite(self._template):
            self._admin(f'CREATE DATABASE "{name_in(self._template)}"')
        # One process for all the commands: starting one costs seconds.
        printed = manage(self._template, "shell", "--no-imports", "-c", PREPARE).split()
        self.keys = dict(zip(USERS, printed, strict=True))
        """The API key of each of USERS, in every database."""

    def new(self) -> Database:
        """A migrated database with the users and their keys."""
        url = self._new_url()
        if is_sqlite(url):
            shutil.copyfile(self._template.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        else:
            self._admin(f'CREATE DATABASE "{name_in(url)}" TEMPLATE "{name_in(self._template)}"')
        return Database(url)

    def drop(self) -> None:
        for url in self._made:
            if not is_sqlite(url):
                self._admin(f'DROP DATABASE IF EXISTS "{name_in(url)}" WITH (FORCE)')

    def _new_url(self) -> str:
        name = f"chat_{uuid4().hex}"
        if self._admin_url:
            url = re.sub(r"^(\w+://[^/]*/)[^?]*", rf"\g<1>{name}", self._admin_url)
        else:
            url = f"sqlite:///{self._folder / name}.sqlite3"
        self._made.append(url)
        return url

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(statement.encode())


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:")


def name_in(url: str) -> str:
    return url.split("?")[0].rsplit("/", 1)[1]


def manage(database_url: str, *arguments: str, **environment: str) -> str:
    """Runs manage.py to its end and returns its stdout. Raises AssertionError with its stderr."""
    env = {**os.environ, "DATABASE_URL": database_url, **environment}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)}: {done.stderr}")
    return done.stdout
