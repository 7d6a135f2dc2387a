"""The frozen set: which file an archive had under a name at the pinned instant. Standard library only."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from image_builder.errors import PipelineError, SurroundingsError
from proxy.archive import tables
from proxy.archive.indices import kind_of
from proxy.archive.layout import Layout, Listed, may_name
from proxy.archive.tables import Table, opened, place
from proxy.archive.urls import Asked, Refusal, by_hash, normalise, quoted

__all__ = ["Entry", "FrozenSet", "Listed", "Refusal", "Suite"]

VERSION = 1
Kind = Literal["release", "index", "package", "source", "file"]


@dataclass(frozen=True)
class Entry:
    """A file of the frozen set. What is served under its name has this hash, wherever it was fetched from."""

    archive: int
    path: str  # below the archive's address, by its canonical name: "dists/trixie/main/binary-amd64/Packages.xz"
    sha256: str
    size_bytes: int | None  # None: only a checksum list names it, which says no size
    kind: Kind
    urls: tuple[str, ...]  # where it may be fetched, best first: by hash, by name, from a snapshot service
    last_modified: int  # the signed Date of its suite, POSIX seconds
    immutable: bool  # the name asked for can mean no other bytes, ever: a pool file, a by-hash name


@dataclass(frozen=True)
class Suite:
    """One pinned suite of one archive."""

    archive: int
    uri: str
    suite: str
    top: str  # below the archive's address, "" or with a slash at the end
    date: int  # POSIX seconds


Fetch = Callable[[Entry], bool]  # bring it into the store: True; nobody has it: False; raises PipelineError for trouble


class FrozenSet:
    """Answers what is behind a name. Safe in threads; lookup() may take seconds once per index that is new here."""

    def __init__(self, path: Path, cache: Path, fetch: Fetch | None = None) -> None:
        """path: from assemble(). cache: what holds the content store's folder, sha256/, and the tables of indices.
        fetch: for indices that a Release names and nobody has asked for yet; without it they name nothing.
        Raises SurroundingsError for a file that is no frozen set of this version.
        """
        self.cache, self._fetch = cache, fetch
        self._database = opened(path)
        self._lock = threading.Lock()
        self._tables: dict[Path, Table] = {}
        self._known: dict[tuple[Listed, ...], Table] = {}  # the same, by what the Release calls them
        self._layouts: dict[int, Layout] = {}
        self._lists: dict[int, list[tuple[Listed, ...]]] = {}
        self._wanted: dict[int, list[tuple[Table, Listed]]] = {}
        self._names: dict[int, set[str]] = {}  # by archive: most of what is asked for is in none of them
        self._gone: set[str] = set()  # names of indices that nobody has any more
        try:
            meta = dict(self._rows("SELECT key, value FROM meta"))
        except sqlite3.Error as e:
            raise SurroundingsError(f"no frozen set: {e}", where=path) from e
        if meta.get("version") != str(VERSION):
            raise SurroundingsError("a frozen set of another version", where=path, hint="make it anew")
        self.stamp = str(meta["stamp"])  # YYYYMMDDTHHMMSSZ
        self.digest = str(meta["digest"])
        self._dates = {
            (row[0], row[1]): (row[2], row[3]) for row in self._rows("SELECT archive, top, date, by_hash FROM suites")
        }
        self._places: dict[str, list[tuple[str, int]]] = {}
        for host, base, archive in self._rows("SELECT host, base, archive FROM places ORDER BY length(base) DESC"):
            self._places.setdefault(host, []).append((base, archive))
        for archive, name in self._rows("SELECT archive, path FROM names"):
            self._names.setdefault(archive, set()).add(name)
        self._bases: dict[int, list[str]] = {}
        for archive, url in self._rows("SELECT archive, url FROM bases ORDER BY archive, position"):
            self._bases.setdefault(archive, []).append(url)

    def close(self) -> None:
        with self._lock:
            for one in self._tables.values():
                one.close()
            self._tables.clear()
            self._known.clear()
            self._wanted.clear()
            self._database.close()

    # -- asking

    def hosts(self) -> list[str]:
        """The hosts whose archives are frozen; any other one is refused."""
        return sorted(host for host in self._places if host)

    def lookup(self, host: str, path: str, *, scheme: str = "http", port: int | None = None) -> Entry | Refusal:
        """The file a client means: 403 for a host that is not frozen, 404 for what no frozen index names.

        503 is for an index that could not be fetched just now. host: as in the Host header or the SNI. path: as the
        client sent it. port: where it connected to; None: what host says, else the scheme's own.
        """
        asked = normalise(scheme, host, port, path)
        return asked if isinstance(asked, Refusal) else self._find(asked)

    def find(self, uri: str) -> Entry | Refusal:
        """lookup() of a whole address; archives that are folders of this machine (file:) are found too."""
        parts = urlsplit(uri)
        if parts.scheme in ("file", "copy"):
            asked = normalise("file", "localhost", None, parts.path)
            return asked if isinstance(asked, Refusal) else self._find(replace(asked, host=""))
        return self.lookup(parts.netloc.rpartition("@")[2], parts.path, scheme=parts.scheme)

    def _find(self, asked: Asked) -> Entry | Refusal:
        found = self._places.get(asked.host)
        if not found:
            return Refusal(403, f"{asked.host} is not frozen; {', '.join(self.hosts()) or 'nothing'} is")
        for base, archive in found:
            if asked.path.startswith(base):
                return self._below(archive, base, asked)
        return Refusal(404, f"{asked.host} has no frozen archive there, but at {', '.join(base for base, _ in found)}")

    def _below(self, archive: int, base: str, asked: Asked) -> Entry | Refusal:
        path = asked.path.removeprefix(base)
        literal = asked.literal.removeprefix(base) if asked.literal.startswith(base) else path
        if not path or path.endswith("/"):
            return Refusal(404, "a folder; there are no listings of a frozen archive")
        try:
            for name in dict.fromkeys((path, literal)):
                if answer := self.named(archive, name):
                    return answer
        except SurroundingsError as e:
            return Refusal(503, _line(e))
        except PipelineError as e:
            return Refusal(404, _line(e))
        return Refusal(404, self._why_not(archive, path))

    def named(self, archive: int, path: str) -> Entry | Refusal | None:
        """The file of this name below an archive's address; None when nothing names it. Raises PipelineError."""
        split = by_hash(path)
        if isinstance(split, Refusal):
            return split
        if split is not None:
            if split.kind != "SHA256":
                return Refusal(404, f"by-hash names are answered for SHA256, not for {split.kind}")
            rows = self._rows(
                "SELECT path, sha256, size, kind, top FROM names WHERE archive = ? AND sha256 = ?",
                archive, bytes.fromhex(split.digest),
            )  # fmt: skip
            rows = [row for row in rows if row[0].rpartition("/")[0] == split.folder.rstrip("/")]
        elif path in self._names.get(archive, ()):
            rows = self._rows(
                "SELECT path, sha256, size, kind, top FROM names WHERE archive = ? AND path = ?", archive, path
            )
        else:
            rows = []
        if rows:
            name, sha256, size, kind, top = rows[0]
            return self._entry(archive, name, sha256.hex(), size, kind, top, immutable=split is not None)
        return None if split else self._from_indices(archive, path)

    def _from_indices(self, archive: int, path: str) -> Entry | Refusal | None:
        found: dict[str, tuple[int | None, Listed]] = {}
        for table, listed in self._pinned(archive):
            if hit := table.get(path):
                found.setdefault(hit[0], (hit[1], listed))
        if len(found) > 1:
            return Refusal(404, "two frozen indices name it with different hashes")
        for sha256, (size, listed) in (found or self._from_others(archive, path)).items():
            kind: Kind = {"packages": "package", "sources": "source"}.get(kind_of(listed.name) or "", "file")  # type: ignore[assignment]
            return self._entry(archive, path, sha256, size, kind, listed.top, immutable=kind != "file")
        return None

    def _pinned(self, archive: int) -> list[tuple[Table, Listed]]:
        """The indices of what was pinned. Raises PipelineError while one of them is lacking."""
        if (kept := self._wanted.get(archive)) is None:
            wanted = [variants for variants in self.lists(archive) if variants[0].wanted]
            kept = [(table, variants[0]) for variants in wanted if (table := self._table(variants))]
            self._wanted[archive] = kept
        return kept

    def _from_others(self, archive: int, path: str) -> dict[str, tuple[int | None, Listed]]:
        """The first index that names it: to see whether others agree, they would have to be fetched."""
        known = self.lists(archive)
        layout = self._layouts.get(archive) or self._layouts.setdefault(archive, Layout.of(known))
        for variants in known:
            if variants[0].wanted or not may_name(variants[0], path, layout):
                continue
            if (names := self._table(variants)) and (hit := names.get(path)):
                return {hit[0]: (hit[1], variants[0])}
        return {}

    def _entry(
        self, archive: int, path: str, sha256: str, size: int | None, kind: Kind, top: str, *, immutable: bool
    ) -> Entry:
        date, hashed = self._dates[archive, top]
        bases = self._bases[archive]
        urls = [base + quoted(path) for base in bases]
        if kind == "index" and hashed:
            # By name, a mirror in the middle of its update gives the file of another InRelease.
            folder = quoted(path.rpartition("/")[0])
            urls.insert(0, f"{bases[0]}{folder}{'/' if folder else ''}by-hash/SHA256/{sha256}")
        return Entry(archive, path, sha256, size, kind, tuple(urls), date, immutable)

    def _why_not(self, archive: int, path: str) -> str:
        suites = {suite.suite: suite.top for suite in self.suites() if suite.archive == archive}
        if path.startswith("dists/") and not any(path.startswith(top) for top in suites.values()):
            return f"{path.split('/')[1]} is not pinned; of this archive {', '.join(suites)} is"
        if path.startswith("project/"):
            return "what a mirror says of itself is no part of a frozen archive"
        if path.rpartition("/")[2] in ("InRelease", "Release", "Release.gpg"):
            return "the pinned suite has no such file that is known to be of the same instant"
        return "no frozen index names it"

    # -- indices

    def lists(self, archive: int) -> list[tuple[Listed, ...]]:
        """The indices that name further files, each with the forms in which it can be had, best first."""
        if (kept := self._lists.get(archive)) is not None:
            return kept
        rows = self._rows(
            "SELECT archive, name, path, top, sha256, size, wanted FROM lists WHERE archive = ? ORDER BY position",
            archive,
        )
        found: dict[str, list[Listed]] = {}
        for number, name, path, top, sha256, size, wanted in rows:
            listed = Listed(number, name, path, top, sha256.hex(), size, bool(wanted))
            found.setdefault(name, []).append(listed)
        self._lists[archive] = [tuple(variants) for variants in found.values()]
        return self._lists[archive]

    def _table(self, variants: tuple[Listed, ...], *, fetch: bool = True) -> Table | None:
        """What an index names, if it is in the store or can be fetched. Raises PipelineError when it must be known."""
        if (known := self._known.get(variants)) is not None:
            return known
        folder = variants[0].name.rpartition("/")[0] + "/" if kind_of(variants[0].name) == "checksums" else ""
        for listed in variants:
            blob = self.cache / "sha256" / listed.sha256
            target = place(self.cache, listed.sha256, folder)
            if target in self._tables or target.exists() or blob.exists():
                made = target if target in self._tables else tables.table(self.cache, blob, listed.path, folder)
                with self._lock:
                    if made not in self._tables:
                        self._tables[made] = Table(made)
                    return self._known.setdefault(variants, self._tables[made])
        if fetch and self._fetch is not None and variants[0].name not in self._gone:
            for listed in variants:
                entry = self._entry(
                    listed.archive, listed.path, listed.sha256, listed.size_bytes, "index", listed.top, immutable=True
                )
                if self._fetch(entry):
                    return self._table((listed,))
            self._gone.add(variants[0].name)
        if variants[0].wanted:
            raise _lacking(variants[0])
        return None

    # -- the whole

    def suites(self) -> list[Suite]:
        """Everything that is pinned, in the lock's order."""
        return [
            Suite(*row)
            for row in self._rows(
                "SELECT archive, uri, suite, top, date FROM suites JOIN archives ON id = archive ORDER BY position"
            )
        ]

    def release_names(self, suite: Suite) -> Iterator[Entry]:
        """What a suite's Release names, and the Release files themselves."""
        query = "SELECT path, sha256, size, kind FROM names WHERE archive = ? AND top = ? ORDER BY path"
        for path, sha256, size, kind in self._rows(query, suite.archive, suite.top):
            yield self._entry(suite.archive, path, sha256.hex(), size, kind, suite.top, immutable=True)

    def uri(self, archive: int) -> str:
        """An archive's address as its source has it."""
        return next(suite.uri for suite in self.suites() if suite.archive == archive)

    def wanted_indices(self, suite: Suite) -> Iterator[tuple[Path, str]]:
        """The Packages files of what is pinned: (place, name in the Release). Raises for one that is lacking."""
        for variants in self.lists(suite.archive):
            if variants[0].top == suite.top and variants[0].wanted and kind_of(variants[0].name) == "packages":
                here = [(self.cache / "sha256" / one.sha256, one.path) for one in variants]
                found = next((pair for pair in here if pair[0].exists()), None)
                if found is None:
                    raise _lacking(variants[0])
                yield found

    def index_names(self, suite: Suite) -> Iterator[Entry]:
        """What the pinned indices of a suite name. Raises PipelineError for a lacking one."""
        for variants in self.lists(suite.archive):
            if variants[0].top == suite.top and variants[0].wanted and (table := self._table(variants)):
                kind: Kind = "source" if kind_of(variants[0].name) == "sources" else "package"
                for path, sha256, size in table.rows():
                    yield self._entry(suite.archive, path, sha256, size, kind, suite.top, immutable=True)

    def hashes(self) -> set[str]:
        """The SHA-256 of every file that is named, as far as the indices are here: what to keep for this set."""
        found = {sha256.hex() for (sha256,) in self._rows("SELECT sha256 FROM names")}
        for archive in {suite.archive for suite in self.suites()}:
            for variants in self.lists(archive):
                with suppress(PipelineError):
                    if table := self._table(variants, fetch=False):
                        found |= {sha256 for _, sha256, _ in table.rows()}
        return found

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock:
            return self._database.execute(query, values).fetchall()


def _lacking(listed: Listed) -> SurroundingsError:
    what = "this index is not in the store, so it is not known what it names"
    return SurroundingsError(what, where=listed.name, hint="fetch it: resolve or mirror")


def _line(error: PipelineError) -> str:
    return " ".join(f"{error.where}: {error.what}".split())
