"""Opening the database: SQLite as shipped, PostgreSQL by its address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from image_builder.archive.database.migrations import migrate
from image_builder.archive.database.problems import as_errors
from image_builder.archive.database.store import Database
from image_builder.archive.priority import Weights
from image_builder.errors import ConfigError, PipelineError, SurroundingsError

PATIENCE_S = 60  # how long somebody waits for another's transaction


def open_database(
    address: str | Path, *, weights: Weights | None = None, durable: bool = True, make: bool = True
) -> Database:
    """Open a database, make it if it is not there, and bring its schema up to date.

    address: a path, "sqlite:///PATH", "postgresql://[USER[:PASSWORD]@][HOST]/NAME[?host=/run/…]", ":memory:".
    weights: of wanna-build's formula; None: its own. durable: whether each change is on disk before a method returns,
    so that a power failure cannot undo it. make: False for those who only ask: SQLite would leave an empty file.

    Raises ConfigError for an address that is none, PipelineError for a file that is not there, SurroundingsError where
    nobody answers.
    """
    url = _url(address)
    where = f"database {url.render_as_string(hide_password=True)}"
    if not make and (file := _file(url)) is not None and not file.exists():
        raise PipelineError("is not there", where=where, hint="image-builder archive run makes it, and begins")
    engine = connect(url, durable=durable)
    try:
        with as_errors(where), engine.execution_options(writes=True).begin() as connection:
            migrate(connection)
        database = Database(engine, weights or Weights(), where)
        database.reweigh_if_changed()
    except BaseException:
        engine.dispose()
        raise
    return database


def connect(url: URL, *, durable: bool = True) -> Engine:
    """An engine whose transactions take the write lock at their start, where they say so by `writes=True`."""
    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": PATIENCE_S, "check_same_thread": False}
        if _file(url) is None:
            options["poolclass"] = StaticPool  # one connection: another would be another database
    else:
        options["pool_pre_ping"] = True
        # A plan made when a table was empty would be kept, and read it from end to end when it is full.
        options["connect_args"] = {"prepare_threshold": None}
    try:
        engine = create_engine(url, **options)
    except ModuleNotFoundError as e:
        raise SurroundingsError(
            f"a PostgreSQL database needs the Python package {e.name}",
            where=f"database {url.render_as_string(hide_password=True)}",
            hint="pip install 'live-image-builder[postgres]'",
        ) from e
    if engine.dialect.name == "sqlite":
        _as_sqlite(engine, durable)
    else:
        _as_postgresql(engine, durable)
    return engine


def _as_sqlite(engine: Engine, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        connection.isolation_level = None  # the driver would begin transactions by rules of its own
        connection.execute("PRAGMA journal_mode = WAL")  # who reads does not stop who writes
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -65536")  # KiB

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that reads first and then writes would fail when somebody has written in between.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _as_postgresql(engine: Engine, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:  # noqa: ARG001
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{PATIENCE_S}s'")
            if not durable:
                cursor.execute("SET synchronous_commit = off")
        connection.commit()


def _file(url: URL) -> Path | None:
    """Of SQLite on a disk."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(url.database)


def _url(address: str | Path) -> URL:
    text = str(address)
    if isinstance(address, Path) or not re.match(r"[a-z0-9+]+:", text):
        return URL.create("sqlite", database=text)
    if text == ":memory:":
        return URL.create("sqlite", database=":memory:")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as e:
        raise ConfigError("is not the address of a database", where=re.sub(r":[^:@/]*@", ":***@", text)) from e
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(
            f"{backend} is not a database this can use",
            where=url.render_as_string(hide_password=True),
            hint="a path for SQLite, or postgresql://…",
        )
    return url
