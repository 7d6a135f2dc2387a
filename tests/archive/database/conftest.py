"""Every test of the database runs on SQLite and on a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql_server import Server

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server that lives as long as the session."""
    with Server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that is not there yet, or empty."""
    if request.param == "sqlite":
        return str(tmp_path / "archive.sqlite")
    server: Server = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def other_address(tmp_path: Path, postgresql: Server, address: str) -> str:
    """Of an empty database of the other kind."""
    return str(tmp_path / "other.sqlite") if address.startswith("postgresql") else postgresql.new_database()


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Open databases; they are closed after the test."""
    databases: list[Database] = []

    def opened(*arguments: object, **words: object) -> Database:
        databases.append(open_database(*arguments, **words))  # type: ignore[arg-type]
        return databases[-1]

    yield opened
    for database in databases:
        database.close()


@pytest.fixture
def db(address: str, opened: Callable[..., Database]) -> Database:
    """An empty database; what a power failure would do to it is not these tests' question."""
    return opened(address, durable=False)
