"""The snap files of a seed: each is what the assertions say, and together they are a set snapd can install."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import SurroundingsError
from snaps import meta as metas
from snaps.assertions import crosscheck, types
from snaps.assertions.database import Database
from snaps.assertions.refused import RefusedError
from snaps.meta import SnapMeta
from snaps.seed_yaml import SeedError


@dataclass(frozen=True)
class Listed:
    """A snap as a seed lists it, to be verified. snap_id: "" where the list does not say. path: the file."""

    name: str
    snap_id: str
    channel: str
    path: Path
    classic: bool


@dataclass(frozen=True)
class SeededSnap:
    """A snap of a seed, verified. file: its name in snaps/. publisher: account id."""

    name: str
    revision: int
    channel: str
    file: str
    snap_id: str
    sha3_384: str
    size_bytes: int
    publisher: str


def check(
    listed: Sequence[Listed], database: Database, *, required: Mapping[str, str]
) -> tuple[tuple[SeededSnap, ...], tuple[str, ...]]:
    """Verify the files and the set; returns the snaps, in their order, and notes for the user.

    required: names that must be there, each with the reason. Raises SeedError, RefusedError, SurroundingsError.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # hashing leaves the interpreter to others
        hashes = list(pool.map(lambda one: sha3_384(one.path), listed))
    snaps, found = [], []
    for one, digest in zip(listed, hashes, strict=True):
        size = size_of(one.path)
        snap = _identified(one, digest, size, database)
        meta = metas.read(one.path)
        if meta.name != one.name:
            raise SeedError(f"calls itself {meta.name} in its snap.yaml, not {one.name}", where=one.path)
        snaps.append(snap)
        found.append(meta)
    notes = [
        f"{snap.file} is revision {snap.revision} of {snap.name}, whatever its file name says"
        for snap in snaps
        if snap.file != f"{snap.name}_{snap.revision}.snap"
    ]
    return tuple(snaps), (*notes, *_check_set(listed, found, required))


def _identified(one: Listed, digest: str, size: int, database: Database) -> SeededSnap:
    who = crosscheck.identify(database, sha3_384=digest, size_bytes=size, where=str(one.path))
    if who.name != one.name:
        raise RefusedError(
            f"{one.path} is the snap {who.name}, not {one.name}", where=str(types.snap_declaration_ref(who.snap_id))
        )
    if one.snap_id and one.snap_id != who.snap_id:
        raise RefusedError(
            f"{one.path} has the snap-id {who.snap_id}, not {one.snap_id}",
            where=str(types.snap_revision_ref(digest)),
        )
    return SeededSnap(one.name, who.revision, one.channel, one.path.name, who.snap_id, digest, size, who.publisher)


def _check_set(listed: Sequence[Listed], found: Sequence[SnapMeta], required: Mapping[str, str]) -> Iterable[str]:
    """Raise SeedError with all that snapd would refuse; returns notes."""
    names = [meta.name for meta in found]
    problems = [f"{name} is missing: {why}" for name, why in required.items() if name not in names]
    notes = []
    for at, (one, meta) in enumerate(zip(listed, found, strict=True)):
        for needed in meta.needs:
            role = "base" if needed == meta.base else "default content provider"
            if needed not in names:
                problems.append(f"{needed} is missing: it is the {role} of {meta.name}")
            elif names.index(needed) > at:
                notes.append(f"{needed}, the {role} of {meta.name}, stands after it; old versions of snapd fail then")
        if meta.confinement == "classic" and not one.classic:
            problems.append(f"{meta.name} has classic confinement, which its entry does not allow it")
        if meta.confinement == "devmode":
            problems.append(f"{meta.name} is for development only (devmode); snapd refuses it in a seed")
    if problems:
        raise SeedError("\n".join(problems), where="the set of snaps")
    return notes


def files(folder: Path) -> list[Path]:
    """The files in a folder of a seed, by name. Raises SeedError for what is no plain file, SurroundingsError."""
    try:
        found = sorted(folder.iterdir())
    except OSError as e:
        raise SeedError(f"cannot be read: {e.strerror or e}", where=folder) from e
    for path in found:
        size_of(path)
    return found


def size_of(path: Path) -> int:
    """The bytes of a plain file; a link or anything else raises SeedError."""
    try:
        status = path.lstat()
    except OSError as e:
        raise SeedError(f"cannot be read: {e.strerror or e}", where=path) from e
    if not stat.S_ISREG(status.st_mode):
        raise SeedError("is no plain file; a seed has nothing else, links neither", where=path)
    return status.st_size


def sha3_384(path: Path) -> str:
    """The hash of a plain file, in hex."""
    size_of(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha3_384").hexdigest()
    except OSError as e:
        raise SurroundingsError(f"cannot be read: {e.strerror or e}", where=path) from e
