"""The whole database as JSON lines, and back: for backups, and between SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from sqlalchemy import Connection, MetaData, Table, func, insert, inspect, select, text

from image_builder.archive.database.migrations import MIGRATIONS, migrate, version
from image_builder.archive.database.store import Database
from image_builder.archive.database.tables import metadata, settings
from image_builder.archive.model import Base, Outcome
from image_builder.archive.states import Cause, State
from image_builder.errors import PipelineError

FORMAT = "image-builder archive"
# Parents before children. Leases and locks belong to programs that run now; settings to this database.
TABLES = ("runs", "packages", "bd_problems", "attempts", "transactions", "history")
_AT_ONCE = 1000
_WORDS = {
    ("runs", "base"): {word.value for word in Base},
    ("packages", "state"): {word.value for word in State},
    ("packages", "previous_state"): {word.value for word in State},
    ("packages", "cause"): {word.value for word in Cause},
    ("attempts", "state"): {"live", "finished", "void"},
    ("attempts", "outcome"): {word.value for word in Outcome},
    ("history", "outcome"): {word.value for word in Outcome},
}


def export(database: Database, out: TextIO) -> int:
    """Write every row, one JSON object a line, as it was at one moment; return how many."""
    number = 0
    with database.reading() as connection:
        header = {"format": FORMAT, "schema": version(connection), "tables": TABLES}
        out.write(json.dumps(header) + "\n")
        for name in TABLES:
            table = metadata.tables[name]
            query = select(table).order_by(*table.primary_key.columns)
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                values = dict(zip(table.c.keys(), row, strict=True))
                out.write(json.dumps({"table": name, "row": values}, ensure_ascii=False) + "\n")
                number += 1
    return number


def import_state(database: Database, lines: TextIO, name: str = "the export") -> int:
    """Read an export into a database in which nothing was begun; return the number of rows.

    The export may be of an older version of this program. All of it is taken, or nothing. Raises PipelineError, naming
    the line, for what is no export. name: of the file, for errors.
    """
    entries = _entries(lines, name)
    schema = _schema(next(entries, None), name)
    with database.writing() as connection:
        for table in TABLES:
            if connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar():
                raise PipelineError(
                    "is not empty, and an import is the whole of a database",
                    where=database.where,
                    hint="name a database that is not there yet",
                )
        if schema < version(connection):  # make the old tables, fill them, and let them grow up with their rows
            _drop(connection)
            migrate(connection, up_to=schema)
        number = _fill(connection, entries, name)
        migrate(connection)
        connection.execute(settings.delete())
    database.reweigh_if_changed()
    return number


def _entries(lines: TextIO, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text_line in enumerate(lines, start=1):
        if not text_line.strip():
            continue
        try:
            value = json.loads(text_line)
        except ValueError as e:
            raise PipelineError(f"is no JSON: {e}", where=f"{name}:{number}") from e
        if not isinstance(value, dict):
            raise PipelineError("is no JSON object", where=f"{name}:{number}")
        yield number, value


def _schema(header: tuple[int, dict[str, Any]] | None, name: str) -> int:
    known = max(migration.number for migration in MIGRATIONS)
    value = header[1] if header is not None else {}
    schema = value.get("schema")
    if value.get("format") != FORMAT or not isinstance(schema, int):
        raise PipelineError("is no export of `image-builder archive`", where=f"{name}:1")
    if not 1 <= schema <= known:
        raise PipelineError(
            f"was written by a newer version of this program (schema {schema}, known up to {known})", where=f"{name}:1"
        )
    return schema


def _fill(connection: Connection, entries: Iterator[tuple[int, dict[str, Any]]], name: str) -> int:
    tables = MetaData()
    tables.reflect(connection, only=lambda table, _: table in TABLES)
    number, of = 0, ""
    waiting: list[dict[str, Any]] = []
    for place, value in entries:
        table, row = value.get("table"), value.get("row")
        if not isinstance(table, str) or table not in tables.tables or not isinstance(row, dict):
            raise PipelineError(f"names the table {table!r}, which is none", where=f"{name}:{place}")
        _check(tables.tables[table], row, f"{name}:{place}")
        if table != of or len(waiting) >= _AT_ONCE:
            _insert(connection, tables.tables.get(of), waiting)
            waiting, of = [], table
        waiting.append(row)
        number += 1
    _insert(connection, tables.tables.get(of), waiting)
    for table_name, reflected in tables.tables.items():
        if connection.dialect.name == "postgresql" and "id" in reflected.c:  # numbers go on where the export ended
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table_name}', 'id'), coalesce(max(id), 0) + 1, false) "
                    f"FROM {table_name}"
                )
            )
    return number


def _insert(connection: Connection, table: Table | None, rows: list[dict[str, Any]]) -> None:
    if table is not None and rows:
        connection.execute(insert(table), rows)


def _check(table: Table, row: dict[str, Any], where: str) -> None:
    """SQLite would take any value in any column; later on, nobody could read it."""
    wrong = set(row) ^ set(table.c.keys())
    if wrong:
        raise PipelineError(f"has not the columns of {table.name}: {', '.join(sorted(wrong))}", where=where)
    for column in table.columns:
        value, kind = row[column.name], column.type.python_type
        fits = isinstance(value, int | float if kind is float else kind) and isinstance(value, bool) is (kind is bool)
        if not fits and not (value is None and column.nullable):
            raise PipelineError(f"{table.name}.{column.name} cannot be {value!r}", where=where)
        words = _WORDS.get((table.name, column.name))
        if words is not None and value is not None and value not in words:
            raise PipelineError(f"{table.name}.{column.name} cannot be {value!r}", where=where)


def _drop(connection: Connection) -> None:
    for table in reversed(inspect(connection).get_table_names()):
        cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}{cascade}")
