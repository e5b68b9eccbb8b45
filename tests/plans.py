"""How the database goes about what some code asks of it: the statements, and their plans, of SQLite and PostgreSQL."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import connection

READS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


FEW_ROWS = {"django_session", "django_content_type", "auth_permission", "conversations_searchqueue"}
"""In the tests: PostgreSQL reads such a table as it is."""

COMMON = re.compile(r'WHERE (?:\S+"deleted_at" IS NULL|NOT \S+"archived") ORDER BY')
"""Conditions that nearly every row meets: a statement with such a one alone soon has as many as its LIMIT says."""


class Statement(NamedTuple):
    sql: str
    params: Any


def statements(act: Callable[[], object]) -> list[Statement]:
    """What `act` asks of the database, with its parameters."""
    found: list[Statement] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(READS):
            found.extend(Statement(sql, row) for row in ([*params][:1] if many else [params]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        act()
    return found


def scans(statement: Statement) -> list[str]:
    """The tables that the statement reads from end to end, as its plan has it."""
    find = sqlite_scans if connection.vendor == "sqlite" else postgres_scans
    return [f"{table}: {statement.sql}" for table in find(statement)]


def sqlite_scans(statement: Statement) -> Iterator[str]:
    """Walking along an index is a scan too, unless the statement's LIMIT ends it or the index has wanted rows alone.

    A LIMIT does not end it where a WHERE leaves rows out.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.params)
        details = [row[3] for row in cursor.fetchall()]
    ends = " LIMIT " in statement.sql and (" WHERE " not in statement.sql or COMMON.search(statement.sql))
    for detail in details:
        verb, _, rest = detail.partition(" ")
        if (
            verb == "SCAN"
            and not ends
            and not is_partial(rest)
            and not re.search("VIRTUAL TABLE|CONSTANT ROW|^\\(|^subquery", rest)
        ):
            yield rest


def is_partial(detail: str) -> bool:
    """Whether it is about an index with a condition, which the statement then has as well."""
    table, _, index = detail.partition(" USING ")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pragma_index_list(%s) WHERE name = %s AND partial", [table, index.rpartition(" ")[2]]
        )
        return cursor.fetchone() is not None


def postgres_scans(statement: Statement) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.params)
        [(plan,)] = cursor.fetchall()
    if isinstance(plan, str):
        plan = json.loads(plan)
    yield from scanned(plan[0]["Plan"])


def scanned(node: dict[str, Any], above: str = "") -> Iterator[str]:
    """The tables that a plan scans. Not those of which it takes the first rows, whichever these are."""
    if node["Node Type"] == "Seq Scan" and not (above == "Limit" and "Filter" not in node):
        table = str(node["Relation Name"])
        if table not in FEW_ROWS:
            yield table
    for below in node.get("Plans", ()):
        yield from scanned(below, node["Node Type"])
