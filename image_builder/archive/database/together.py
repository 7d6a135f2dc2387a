"""Many rows in one statement, where the database has one for it: one by one, PostgreSQL takes ten times as long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Connection, Double, Table, Text, and_, bindparam, delete, insert, update

PREFIX = "key_"  # of the parameters that say which row is meant


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows. Each mapping has the same names, of columns."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), rows)
        return
    names = list(rows[0])
    quoted = ", ".join(f'"{name}"' for name in names)
    statement = f"INSERT INTO {table.name} ({quoted}) SELECT * FROM unnest({_arrays(table, names)})"
    connection.exec_driver_sql(statement, _by_name(table, rows))


def update_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set columns of rows. Each mapping has the same names: columns to set, and "key_NAME" for those that choose."""
    if not rows:
        return
    keys, columns = _names(rows[0])
    if connection.dialect.name == "sqlite":
        each = update(table).where(_chosen(table, keys)).values({name: bindparam(name) for name in columns})
        connection.execute(each, rows)
        return
    new = ", ".join(f"{name} = new.{name}" for name in columns)
    statement = f"UPDATE {table.name} AS old SET {new} FROM {_joined(table, keys, columns)}"
    connection.exec_driver_sql(statement, _by_name(table, rows))


def delete_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete rows. Each mapping has the same names, "key_NAME" for each column that chooses."""
    if not rows:
        return
    keys, _ = _names(rows[0])
    if connection.dialect.name == "sqlite":
        connection.execute(delete(table).where(_chosen(table, keys)), rows)
        return
    statement = f"DELETE FROM {table.name} AS old USING {_joined(table, keys, [])}"
    connection.exec_driver_sql(statement, _by_name(table, rows))


def _names(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    keys = [name.removeprefix(PREFIX) for name in row if name.startswith(PREFIX)]
    return keys, [name for name in row if not name.startswith(PREFIX)]


def _chosen(table: Table, keys: Sequence[str]) -> Any:
    return and_(*(table.c[name] == bindparam(PREFIX + name) for name in keys))


def _joined(table: Table, keys: Sequence[str], columns: Sequence[str]) -> str:
    """All rows as a table `new`, joined to `old`."""
    names = [*(PREFIX + name for name in keys), *columns]
    condition = " AND ".join(f"old.{name} = new.{PREFIX}{name}" for name in keys)
    return f"unnest({_arrays(table, names)}) AS new ({', '.join(names)}) WHERE {condition}"


def _arrays(table: Table, names: Sequence[str]) -> str:
    """The lists as arrays. Texts go as bytes (b): to escape those of JSON takes longer than all the rest."""
    kinds = {name: _type(table, name) for name in names}
    return ", ".join(f"CAST(%({name}){'b' if kind == 'text' else 's'} AS {kind}[])" for name, kind in kinds.items())


def _type(table: Table, name: str) -> str:
    kind = table.c[name.removeprefix(PREFIX)].type
    if isinstance(kind, Text):
        return "text"
    if isinstance(kind, Boolean):
        return "boolean"
    return "double precision" if isinstance(kind, Double) else "bigint"


def _by_name(table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows turned: a list of values for each name, all of one type."""
    arrays: dict[str, list[Any]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if _type(table, name) == "double precision":
            values = [None if value is None else float(value) for value in values]
        arrays[name] = values
    return arrays
