"""The server's settings; and every unit of database work and every statement becomes a line of the file STATEMENTS."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.backends.signals import connection_created

from chatproject.observability import database
from chatproject.settings import *  # noqa: F403

_name: ContextVar[str] = ContextVar("name", default="-")
_plain = database.unit


@contextmanager
def unit(name: str) -> Iterator[None]:
    _name.set(name)
    write("unit")
    with _plain(name):
        yield


def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    write(" ".join(sql.split()))
    return execute(sql, params, many, context)


def write(what: str) -> None:
    with open(os.environ["STATEMENTS"], "a") as file:
        file.write(f"{_name.get()}\t{what}\n")


def watch(connection: Any, **kwargs: Any) -> None:
    connection.execute_wrappers.append(note)


database.unit = unit
connection_created.connect(watch, weak=False)
