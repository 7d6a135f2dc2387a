"""What an index names as an SQLite file: made once per index by its hash, then asked without reading the index."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from image_builder.errors import PipelineError, SurroundingsError
from proxy.archive.indices import Named, named_files

VERSION = 1  # part of the file's name: tables of another shape are left alone
_lock = threading.Lock()


def opened(path: Path) -> sqlite3.Connection:
    """A finished database, to read from any thread; nobody changes it any more. Raises SurroundingsError."""
    try:
        return sqlite3.connect(f"file:{quote(os.fspath(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    except sqlite3.Error as e:
        raise SurroundingsError(f"cannot be read: {e}", where=path) from e


@contextmanager
def made(path: Path) -> Iterator[sqlite3.Connection]:
    """A new database for the block, under its name when the block ends well: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with closing(sqlite3.connect(part)) as database:
            database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 8192;")
            with database:
                yield database
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (sqlite3.Error, OSError) as e:
        raise SurroundingsError(f"cannot be written: {e}", where=path) from e
    finally:
        part.unlink(missing_ok=True)


def place(cache: Path, sha256: str, folder: str) -> Path:
    """Where the table of an index is. The same checksum list in two folders names different files."""
    name = sha256 if not folder else f"{sha256}-{folder.strip('/').replace('/', '+')}"
    return cache / "tables" / f"{name[:200]}.{VERSION}.sqlite"


def table(cache: Path, index: Path, name: str, folder: str) -> Path:
    """The table of an index that is in the store, made now if nobody has made it; others that want it wait.

    cache: the folder that holds the tables. index: the file, named by its SHA-256. name, folder: as for
    named_files(). Raises PipelineError for an index that cannot be read, SurroundingsError for a full disk.
    """
    target = place(cache, index.name, folder)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock, (target.parent / ".lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            if not target.exists():
                _clear(target.parent)
                with made(target) as database:
                    fill(database, named_files(index, name, folder))
    return target


def fill(database: sqlite3.Connection, files: Iterable[Named]) -> None:
    """Write what an index names. A path with two hashes is left out: nobody can say which is meant."""
    database.execute("CREATE TABLE found (path TEXT, sha256 BLOB, size INTEGER)")
    database.executemany("INSERT INTO found VALUES (?, ?, ?)", files)
    database.execute("CREATE TABLE files (path TEXT PRIMARY KEY, sha256 BLOB, size INTEGER) WITHOUT ROWID")
    database.execute(
        "INSERT INTO files SELECT path, min(sha256), max(size) FROM found GROUP BY path"
        " HAVING count(DISTINCT sha256) = 1"
    )
    database.execute("DROP TABLE found")


def _clear(folder: Path) -> None:
    """Remove what killed processes began (nobody else writes while the lock is held) and what was of pruned indices."""
    for path in folder.iterdir():
        if ".part" in path.name or (
            path.name.endswith(".sqlite") and not (folder.parent / "sha256" / path.name[:64]).exists()
        ):
            path.unlink(missing_ok=True)


class Table:
    """An open table."""

    def __init__(self, path: Path) -> None:
        self._database = opened(path)
        self._lock = threading.Lock()

    def get(self, path: str) -> tuple[str, int | None] | None:
        """The SHA-256 and the size of a file, if the index names it."""
        row = self._ask("SELECT sha256, size FROM files WHERE path = ?", (path,))
        return None if row is None else (row[0].hex(), row[1])

    def rows(self) -> list[tuple[str, str, int | None]]:
        """Every file: path, SHA-256, size."""
        with self._lock:
            found = self._database.execute("SELECT path, sha256, size FROM files").fetchall()
        return [(path, sha256.hex(), size) for path, sha256, size in found]

    def _ask(self, query: str, values: tuple[str, ...]) -> tuple[bytes, int | None] | None:
        try:
            with self._lock:
                row: tuple[bytes, int | None] | None = self._database.execute(query, values).fetchone()
        except sqlite3.Error as e:
            raise PipelineError(f"cannot be read: {e}", where="the table of an index", hint="remove it") from e
        return row

    def close(self) -> None:
        with self._lock:
            self._database.close()
