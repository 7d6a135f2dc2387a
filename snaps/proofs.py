"""The assertions that prove a set of snaps: from the store, from a lock, and which of them a part of the set needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from image_builder.errors import ConfigError
from image_builder.lock import SnapPin
from snaps.assertions import trust as roots
from snaps.assertions.crosscheck import check_file
from snaps.assertions.database import Database
from snaps.assertions.fetch import fetch
from snaps.assertions.parse import Assertion, parse
from snaps.assertions.trust import TrustRoot
from snaps.assertions.types import Ref, snap_declaration_ref, snap_revision_ref
from snaps.store.client import StoreClient


def trusted(file: Path | None, now: datetime) -> TrustRoot:
    """The root of the public store, or what a file says. Raises ConfigError, RefusedError."""
    if file is None:
        return roots.canonical()
    try:
        return roots.from_text(file.read_bytes(), where=str(file), now=now)
    except OSError as e:
        raise ConfigError(f"the root of trust cannot be read: {e.strerror}", where=file) from e


def fetched(
    files: Iterable[tuple[str, str]],
    client: StoreClient,
    trust: TrustRoot,
    now: datetime,
    *,
    known: Iterable[Assertion] = (),
) -> list[Assertion]:
    """What proves these files (snap-id, SHA3-384 in hex), verified to the root, each after those it rests on.

    known: of the lock before; nothing that comes may be older. Raises RefusedError, and as the client does.
    """

    def retrieve(ref: Ref, max_format: int) -> bytes:
        return client.assertion(ref.kind, ref.key, max_format=max_format)

    return fetch(_refs(files), retrieve, trust=trust, now=now, known=known)


def read(texts: Iterable[str], *, where: str = "lock") -> list[Assertion]:
    """The assertions of a lock, not verified. Raises RefusedError."""
    return [parse(text.encode(), where=where) for text in texts]


def database(proofs: Iterable[Assertion], trust: TrustRoot, now: datetime) -> Database:
    """All of them verified. Raises RefusedError for the first that is not true."""
    made = Database(trust, now)
    made.add_all(proofs)
    return made


def needed(known: Database, pins: Sequence[SnapPin]) -> list[Assertion]:
    """Those of a database that prove these snaps, each after those it rests on."""
    return known.closure(_refs((pin.snap_id, pin.sha3_384) for pin in pins))


def check(known: Database, pins: Iterable[SnapPin]) -> None:
    """Check every pin against what was signed: hash, size, revision, snap-id, name, publisher. Raises RefusedError."""
    for pin in pins:
        check_file(
            known, name=pin.name, snap_id=pin.snap_id, revision=pin.revision, sha3_384=pin.sha3_384,
            size_bytes=pin.size_bytes,
        )  # fmt: skip


def _refs(files: Iterable[tuple[str, str]]) -> list[Ref]:
    return [ref for one, sha3 in files for ref in (snap_declaration_ref(one), snap_revision_ref(sha3))]
