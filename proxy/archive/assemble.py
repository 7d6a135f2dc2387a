"""Making the frozen set of a lock: everything its InRelease files name, in one file that answers lookups."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from image_builder.errors import ConfigError, PipelineError
from image_builder.lock import ArchivePin
from proxy.archive.checked import checked
from proxy.archive.freeze import wanted_indices
from proxy.archive.frozen import VERSION
from proxy.archive.indices import READABLE, kind_of, plain_name
from proxy.archive.release import Release, parse_release
from proxy.archive.sources import Source, merged
from proxy.archive.tables import made
from proxy.archive.urls import clean, split_uri
from proxy.blobs import Blobs

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE archives (id INTEGER PRIMARY KEY, uri TEXT);
CREATE TABLE places (host TEXT, base TEXT, archive INTEGER, PRIMARY KEY (host, base)) WITHOUT ROWID;
CREATE TABLE bases (archive INTEGER, position INTEGER, url TEXT, PRIMARY KEY (archive, position)) WITHOUT ROWID;
CREATE TABLE suites (position INTEGER PRIMARY KEY, archive INTEGER, suite TEXT, top TEXT, date INTEGER,
                     by_hash INTEGER);
CREATE TABLE names (archive INTEGER, path TEXT, top TEXT, sha256 BLOB, size INTEGER, kind TEXT,
                    PRIMARY KEY (archive, path)) WITHOUT ROWID;
CREATE INDEX by_hash ON names (archive, sha256);
CREATE TABLE lists (position INTEGER PRIMARY KEY, archive INTEGER, name TEXT, path TEXT, top TEXT,
                    sha256 BLOB, size INTEGER, wanted INTEGER);
"""


@dataclass(frozen=True)
class _Pinned:
    pin: ArchivePin
    source: Source
    release: Release
    top: str
    files: list[tuple[str, str, int | None]]  # Release files: name, SHA-256, size


def assemble(
    pins: Sequence[ArchivePin],
    sources: Iterable[Source],
    *,
    keyring: Path,
    cache: Path,
    stamp: str = "",
    services: Mapping[str, Sequence[str]] = {},
    aliases: Mapping[str, Sequence[str]] = {},
) -> Path:
    """The frozen set of these sources, made if this cache has not got it: open it with FrozenSet(path, cache).

    keyring: for sources that name none; signatures are checked here again. stamp: YYYYMMDDTHHMMSSZ, what answers
    are marked with; empty: the newest signed Date. services: archive's address -> addresses where a snapshot service
    has the same archive as it was at that instant. aliases: archive's address -> other addresses clients know it by.
    The InRelease files are in the store (thaw() sees to it). Raises PipelineError for a source without a pin, a bad
    signature, or an InRelease that is not there.
    """
    by_name = {(pin.uri, pin.suite): pin for pin in pins}
    chosen = [(by_name.get((source.uri, source.suite)), source) for source in merged(sources)]
    if lacking := [f"{source.uri} {source.suite}" for pin, source in chosen if pin is None]:
        raise PipelineError("not in the lock", where=", ".join(lacking), hint="resolve it anew: --update")
    pairs = [(pin, source) for pin, source in chosen if pin is not None]
    stamp = stamp or f"{max(pin.stamp or pin.date for pin, _ in pairs).astimezone(UTC):%Y%m%dT%H%M%SZ}"
    digest = _digest(pairs, keyring, stamp, services, aliases)
    path = cache / "frozen" / f"{digest[:32]}.sqlite"
    if not path.exists():
        pinned = [_opened(pin, source, keyring, cache) for pin, source in pairs]
        with made(path) as database:
            _write(database, pinned, stamp, digest, services, aliases)
    return path


def _digest(
    pairs: Sequence[tuple[ArchivePin, Source]],
    keyring: Path,
    stamp: str,
    services: Mapping[str, Sequence[str]],
    aliases: Mapping[str, Sequence[str]],
) -> str:
    keys = sorted({path for _, source in pairs for path in source.signed_by or (keyring,)})
    said = {
        "version": VERSION,
        "stamp": stamp,
        "pins": [pin.model_dump(mode="json", by_alias=True) for pin, _ in pairs],
        "sources": [[s.line(), s.trusted, s.source_packages, [str(path) for path in s.signed_by]] for _, s in pairs],
        "keys": [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in keys],
        "services": {uri: list(urls) for uri, urls in services.items()},
        "aliases": {uri: list(urls) for uri, urls in aliases.items()},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _opened(pin: ArchivePin, source: Source, keyring: Path, cache: Path) -> _Pinned:
    store = Blobs(cache / "sha256")
    if not store.has(pin.inrelease_sha256):
        raise PipelineError("its InRelease is not in the store", where=f"{pin.uri} {pin.suite}", hint="thaw the lock")
    data = store.read(pin.inrelease_sha256)
    text, _ = checked(source, data, keyring=keyring, cache=cache, where=pin.from_)
    release = parse_release(text, where=pin.from_)
    top = source.suite if source.suite.endswith("/") else f"dists/{source.suite}/"
    return _Pinned(pin, source, release, clean(top), _release_files(pin, len(data), store))


def _write(
    database: sqlite3.Connection,
    pinned: Sequence[_Pinned],
    stamp: str,
    digest: str,
    services: Mapping[str, Sequence[str]],
    aliases: Mapping[str, Sequence[str]],
) -> None:
    database.executescript(_TABLES)
    meta = {"version": str(VERSION), "stamp": stamp, "digest": digest}
    database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    archives = {uri: number for number, uri in enumerate(dict.fromkeys(one.source.uri for one in pinned))}
    for uri, number in archives.items():
        database.execute("INSERT INTO archives VALUES (?, ?)", (number, uri))
        for name in (uri, *aliases.get(uri, ())):
            _place(database, name, number)
        bases = [uri, *services.get(uri, ())]
        for one in (one for one in pinned if one.source.uri == uri):
            bases += [one.pin.service, _base(one)]
        distinct = dict.fromkeys(base.rstrip("/") + "/" for base in bases if base)
        database.executemany(
            "INSERT INTO bases VALUES (?, ?, ?)", [(number, position, url) for position, url in enumerate(distinct)]
        )
    # The longest folder first: what is below dists/stable/updates/ is not what dists/stable/ says of it.
    for one in sorted(pinned, key=lambda one: -len(one.top)):
        _names(database, archives[one.source.uri], one)
    for position, one in enumerate(pinned):
        values = (position, archives[one.source.uri], one.source.suite, one.top,
                  int(one.release.date.timestamp()), one.release.by_hash)  # fmt: skip
        database.execute("INSERT INTO suites VALUES (?, ?, ?, ?, ?, ?)", values)


def _place(database: sqlite3.Connection, uri: str, archive: int) -> None:
    try:
        host, base = split_uri(uri)
        database.execute("INSERT INTO places VALUES (?, ?, ?)", (host, base, archive))
    except ValueError as e:
        raise ConfigError(str(e), where=uri) from e
    except sqlite3.IntegrityError as e:
        raise ConfigError("two archives have this address", where=uri, hint="write it in one way") from e


def _base(one: _Pinned) -> str:
    """Where the archive was found when it was pinned: a snapshot service, maybe."""
    base, found, _ = one.pin.from_.partition(one.top + "InRelease")
    return base if found and one.top else ""


def _names(database: sqlite3.Connection, archive: int, one: _Pinned) -> None:
    rows: list[tuple[object, ...]] = []
    for name, sha256, size in one.files:
        rows.append((archive, one.top + name, one.top, bytes.fromhex(sha256), size, "release"))
    lists: list[tuple[object, ...]] = []
    wanted = set(wanted_indices(one.release, one.source))
    for file in one.release.files.values():
        try:
            path = one.top + clean(file.path)
        except ValueError as e:
            raise PipelineError(f"the Release names a file that cannot be: {e}", where=one.pin.from_) from e
        rows.append((archive, path, one.top, bytes.fromhex(file.sha256), file.size_bytes, "index"))
        if kind_of(file.path) is not None and any(file.path == plain_name(file.path) + c for c in READABLE):
            lists.append((archive, plain_name(path), path, one.top, bytes.fromhex(file.sha256), file.size_bytes,
                          plain_name(file.path) in wanted))  # fmt: skip
    database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?, ?, ?, ?, ?)", rows)
    lists.sort(key=lambda row: (row[1], READABLE.index(Path(str(row[2])).suffix if row[1] != row[2] else "")))
    database.executemany(
        "INSERT INTO lists (archive, name, path, top, sha256, size, wanted) VALUES (?, ?, ?, ?, ?, ?, ?)", lists
    )


def _release_files(pin: ArchivePin, size: int, store: Blobs) -> list[tuple[str, str, int | None]]:
    """InRelease, and the pair Release and Release.gpg if the lock has both: one of another instant is never given."""
    found: list[tuple[str, str, int | None]] = [("InRelease", pin.inrelease_sha256, size)]
    pair = {"Release": pin.release_sha256, "Release.gpg": pin.release_gpg_sha256}
    if all(pair.values()):
        for name, sha256 in pair.items():
            path = store.path(str(sha256))
            found.append((name, str(sha256), path.stat().st_size if path.exists() else None))
    return found
