"""What the results offered when the repository last looked: a file that may be deleted, and is made anew then."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from image_builder.archive.repository.winners import Provider

_VERSION = 2
_TABLES = """
CREATE TABLE folders (architecture TEXT, source TEXT, identity TEXT,
  PRIMARY KEY (architecture, source)) WITHOUT ROWID;
CREATE TABLE providers (architecture TEXT, source TEXT, file TEXT, name TEXT, inode INTEGER, meta_inode INTEGER,
  layer INTEGER, PRIMARY KEY (architecture, source, file)) WITHOUT ROWID;
CREATE INDEX providers_name ON providers (architecture, name);
CREATE TABLE trees (architecture TEXT PRIMARY KEY, identity TEXT, flags TEXT);
CREATE TABLE retired (path TEXT PRIMARY KEY, at REAL);
CREATE TABLE changing (mark INTEGER);
"""


class Cache:
    """One suite's. Changes are seen by nobody before the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use opened()."""
        self._sql = connection

    def changing(self) -> bool:
        """Whether an update began and did not end."""
        return self._sql.execute("SELECT 1 FROM changing").fetchone() is not None

    def begin(self) -> None:
        """Say, on the disk, that the tree is about to be changed; what follows counts from end() on.

        The tree's identity would tell of a kill too, but not where the file system's clock ticks slower than we work.
        """
        if not self.changing():
            self._sql.execute("INSERT INTO changing VALUES (1)")
        self._sql.execute("BEGIN")

    def end(self) -> None:
        self._sql.execute("DELETE FROM changing")
        self._sql.execute("COMMIT")

    def undo(self) -> None:
        """Forget what was noted since begin(); changing() stays true."""
        if self._sql.in_transaction:
            self._sql.execute("ROLLBACK")

    def forget(self) -> None:
        """As if nothing had ever been looked at."""
        for table in ("folders", "providers", "trees"):
            self._sql.execute(f"DELETE FROM {table}")

    def folders(self, architecture: str) -> dict[str, str]:
        """Source -> identity of its folder of results, as full.identity() says it."""
        return dict(self._sql.execute("SELECT source, identity FROM folders WHERE architecture = ?", (architecture,)))

    def architectures(self) -> set[str]:
        return {name for (name,) in self._sql.execute("SELECT DISTINCT architecture FROM folders")}

    def names(self, architecture: str, sources: Iterable[str]) -> set[str]:
        """Binary names these sources offer."""
        query = "SELECT name FROM providers WHERE architecture = ? AND source = ?"
        return {name for source in sources for (name,) in self._sql.execute(query, (architecture, source))}

    def providers(self, architecture: str, names: Iterable[str] | None = None) -> Iterator[Provider]:
        """Who offers these names; None: any name."""
        query = "SELECT name, source, file, inode, meta_inode, layer FROM providers WHERE architecture = ?"
        if names is None:
            yield from (Provider(*row) for row in self._sql.execute(query, (architecture,)))
            return
        for name in names:
            yield from (Provider(*row) for row in self._sql.execute(f"{query} AND name = ?", (architecture, name)))

    def forget_folder(self, architecture: str, source: str) -> None:
        for table in ("providers", "folders"):
            self._sql.execute(f"DELETE FROM {table} WHERE architecture = ? AND source = ?", (architecture, source))

    def add_folder(self, architecture: str, source: str, identity: str, providers: Sequence[Provider]) -> None:
        """What a folder of this identity holds. One that was there before has to be forgotten first."""
        key = (architecture, source)
        self._sql.execute("INSERT INTO folders VALUES (?, ?, ?)", (*key, identity))
        rows = ((*key, p.file, p.name, p.inode, p.meta_inode, p.layer) for p in providers)
        self._sql.executemany("INSERT INTO providers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def tree(self, architecture: str) -> tuple[str, str]:
        """Identity of the tree's folder, and the flags it was made with; empty if it was never made."""
        row = self._sql.execute("SELECT identity, flags FROM trees WHERE architecture = ?", (architecture,)).fetchone()
        return ("", "") if row is None else (row[0], row[1])

    def set_tree(self, architecture: str, identity: str, flags: str) -> None:
        self._sql.execute("INSERT OR REPLACE INTO trees VALUES (?, ?, ?)", (architecture, identity, flags))

    def retire(self, paths: Iterable[str], at: float) -> None:
        """These files are in no index from this moment on, POSIX seconds."""
        self._sql.executemany("INSERT OR IGNORE INTO retired VALUES (?, ?)", ((path, at) for path in paths))

    def recall(self, paths: Iterable[str]) -> None:
        """These files are in an index again, or are gone."""
        self._sql.executemany("DELETE FROM retired WHERE path = ?", ((path,) for path in paths))

    def retired(self, before: float, prefix: str) -> list[str]:
        query = "SELECT path FROM retired WHERE at <= ? AND substr(path, 1, ?) = ?"
        return [path for (path,) in self._sql.execute(query, (before, len(prefix), prefix))]


@contextmanager
def opened(path: Path) -> Iterator[Cache]:
    """The cache; an unfinished transaction is undone at the end of the block. One that cannot be read is made anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path)
    try:
        yield Cache(connection)
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path)
    except sqlite3.OperationalError:  # of the surroundings: the disk is full, or may not be written
        raise
    except sqlite3.DatabaseError:  # not one of ours
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    try:
        # A power loss may undo the last changes, not halve one; the folders' identities tell.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise sqlite3.DatabaseError("of another version")
    except BaseException:
        connection.close()
        raise
    return connection
