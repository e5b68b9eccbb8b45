"""Rows stored, and fields of a row changed, with SQL that is put together once.

The ORM compiles each statement anew, which took longer than the database did. Here are values alone: whoever needs an
expression, a signal or the ids that the database gives, asks the ORM.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import CharField, Model, TextField, UUIDField

FEW = 8
"""How many rows a statement of ours stores at most: each number of them has its own."""

TEXT = (CharField, TextField)
ID: "UUIDField[UUID, UUID]" = UUIDField()


class Statement(NamedTuple):
    sql: str
    """The same for SQLite and PostgreSQL."""
    fields: Sequence[Any]
    """Of the model, in the order of the parameters."""


def key(id_: UUID) -> Any:
    """An id of a row as a parameter of a statement of our own."""
    return ID.get_db_prep_value(id_, connections[DEFAULT_DB_ALIAS])


def insert(rows: Sequence[Model]) -> None:
    """Stores rows of one model, as bulk_create does. They all have ids, or none has: then the database gives them some,
    which the caller must not count on being told.

    Raises IntegrityError as bulk_create does.
    """
    if not rows:
        return
    model = type(rows[0])
    if len(rows) > FEW:
        model._default_manager.bulk_create(rows)
        return
    sql, fields = _insert(model, len(rows), rows[0].pk is not None)
    database = connections[DEFAULT_DB_ALIAS]  # not `connection`, which looks it up for each field
    values = [parameter(field, field.pre_save(row, True), database) for row in rows for field in fields]
    with database.cursor() as cursor:
        cursor.execute(sql, values)
    for row in rows:
        row._state.adding = False
        row._state.db = database.alias


def update(model: type[Model], pk: Any, values: Mapping[str, Any]) -> int:
    """Changes these fields, by name, of the row with that primary key. Returns how many rows there are: 0 or 1.

    Raises IntegrityError as QuerySet.update does.
    """
    sql, fields = _update(model, tuple(values))
    pairs = zip(fields, (*values.values(), pk), strict=True)
    database = connections[DEFAULT_DB_ALIAS]
    with database.cursor() as cursor:
        cursor.execute(sql, [parameter(field, value, database) for field, value in pairs])
        return int(cursor.rowcount)


def parameter(field: Any, value: Any, database: Any) -> Any:
    """What the ORM makes of a field's value. It need not be called for text as a database takes it, and for nothing."""
    if value is None or (type(value) is str and isinstance(field, TEXT)):
        return value
    return field.get_db_prep_save(value, database)


@cache
def _insert(model: type[Model], count: int, with_ids: bool) -> Statement:
    fields = [field for field in model._meta.concrete_fields if with_ids or not field.primary_key]
    columns = ", ".join(_column(field) for field in fields)
    values = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * count)
    return Statement(f"INSERT INTO {_table(model)} ({columns}) VALUES {values}", fields)  # noqa: S608 -- our own names


@cache
def _update(model: type[Model], names: tuple[str, ...]) -> Statement:
    fields = [model._meta.get_field(name) for name in names]
    changes = ", ".join(f"{_column(field)} = %s" for field in fields)
    key = model._meta.pk
    sql = f"UPDATE {_table(model)} SET {changes} WHERE {_column(key)} = %s"  # noqa: S608 -- our own names
    return Statement(sql, [*fields, key])


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(field: Any) -> str:
    return connection.ops.quote_name(field.column)
