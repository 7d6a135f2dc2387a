"""Opening a database: addresses, schema, and what is wrong with either."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rebuild_rows import begin, key
from sqlalchemy import inspect, text

from image_builder.archive.database.migrations import MIGRATIONS, Migration, migrate, version
from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.database.tables import metadata
from image_builder.errors import ConfigError, PipelineError, SurroundingsError


def test_a_second_start_changes_nothing(address: str, opened: Callable[..., Database]) -> None:
    run = begin(opened(address))
    again = opened(address)
    assert again.run("test stage 1") == run
    with again.writing() as connection:
        assert migrate(connection) == []
        assert version(connection) == len(MIGRATIONS)


def test_the_schema_is_what_the_code_takes_it_for(db: Database) -> None:
    with db.reading() as connection:
        found = inspect(connection)
        tables = {
            name: [column["name"] for column in found.get_columns(name)]
            for name in found.get_table_names()
            if name not in ("schema_migrations", "sqlite_sequence")
        }
    assert {name: sorted(columns) for name, columns in tables.items()} == {
        name: sorted(table.columns.keys()) for name, table in metadata.tables.items()
    }


def test_steps_are_taken_once_each_in_order(db: Database) -> None:
    steps = [
        Migration(4, "rows", ("INSERT INTO made (n) VALUES (4)",)),
        Migration(3, "table", ("CREATE TABLE made (n INTEGER, name {name})", "INSERT INTO made (n) VALUES (3)")),
        *MIGRATIONS,
    ]
    with db.writing() as connection:
        assert migrate(connection, steps, up_to=3) == [3]
    with db.writing() as connection:
        assert migrate(connection, steps) == [4]
        assert connection.execute(text("SELECT n FROM made ORDER BY n")).scalars().all() == [3, 4]
        applied = connection.execute(text("SELECT number, name FROM schema_migrations WHERE number > 2"))
        assert sorted(applied) == [(3, "table"), (4, "rows")]


def test_a_step_that_fails_leaves_the_schema_as_it_was(db: Database) -> None:
    steps = [*MIGRATIONS, Migration(3, "half", ("CREATE TABLE made (n INTEGER)", "SELECT nonsense"))]
    with pytest.raises(PipelineError), db.writing() as connection:
        migrate(connection, steps)
    with db.reading() as connection:
        assert not inspect(connection).has_table("made")
        assert version(connection) == len(MIGRATIONS)


def test_a_newer_schema_is_refused(address: str, opened: Callable[..., Database]) -> None:
    db = opened(address)
    with db.writing() as connection:
        connection.execute(text("INSERT INTO schema_migrations (number, name) VALUES (9, 'from the future')"))
    with pytest.raises(PipelineError, match="was changed by a newer version of this program: it has step 9"):
        open_database(address)


def test_several_that_start_at_once_make_one_schema(address: str, opened: Callable[..., Database]) -> None:
    made: list[Database] = []
    gate = threading.Barrier(4)

    def start() -> None:
        gate.wait()
        made.append(opened(address))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    run = begin(made[0])
    assert made[3].package(run.identity, key("hello")) is not None


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("mysql://host/name", ConfigError, "mysql is not a database this can use"),
        ("nonsense:", ConfigError, "is not the address of a database"),
        ("postgresql://me:secret@host:port/x", ConfigError, "is not the address of a database"),
        ("postgresql://me:secret@localhost:1/x", SurroundingsError, "Connection refused"),
        ("/nowhere/at/all.sqlite", SurroundingsError, "is its folder there"),
        ("/proc/version", SurroundingsError, ""),
    ],
)
def test_what_cannot_be_opened(address: str, error: type[PipelineError], said: str) -> None:
    with pytest.raises(error) as caught:
        open_database(address)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    path.write_text("my notes, " * 100)
    with pytest.raises(PipelineError, match="is not a database"):
        open_database(path)
    assert path.read_text().startswith("my notes")


def test_a_name_may_hold_what_addresses_may_not(tmp_path: Path) -> None:
    path = tmp_path / "a?b=c#d%41.sqlite"
    with open_database(path) as db:
        begin(db)
    assert path.exists()


def test_a_full_disk_is_said_and_nothing_half_done(tmp_path: Path) -> None:
    with open_database(tmp_path / "archive.sqlite") as db:
        run = begin(db)
        with db.writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        with db.engine.connect() as connection:  # of this connection only; the next one is another
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        before = db.packages(run.identity)
        with pytest.raises(SurroundingsError, match=r"full\n  hint: make room"):
            begin(db, [f"p{number}" for number in range(5000)], stage=2)
        assert db.packages(run.identity) == before
