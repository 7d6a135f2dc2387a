"""A seed for snapd's first boot, from a lock: the same lock gives the same bytes, whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.lock import SnapPin
from snaps import model as models
from snaps import seed_check, seed_yaml
from snaps.assertions import types
from snaps.assertions.database import Database
from snaps.assertions.parse import Assertion
from snaps.assertions.refused import RefusedError
from snaps.model import Given
from snaps.seed_check import Seed
from snaps.seed_yaml import Entry


@dataclass(frozen=True)
class SeedSnap:
    """A pinned snap and its file, which may have any name."""

    pin: SnapPin
    file: Path

    @property
    def file_name(self) -> str:
        return f"{self.pin.name}_{self.pin.revision}.snap"


def write(
    folder: Path,
    snaps: Sequence[SeedSnap],
    assertions: Iterable[Assertion],
    *,
    model: Given,
    now: datetime,
    link: bool = False,
) -> Seed:
    """Write the seed into a folder that is not there, or is empty; returns what verifying the result found.

    assertions: what proves the snaps; more than that does no harm and is left out. model: see models.choose().
    now: aware; when the keys must hold. link: give the files a second name instead of copying them, where that works;
    for seeds nobody writes into. Raises ConfigError, RefusedError, SeedError, SurroundingsError.
    """
    kind = models.read(model.assertion)
    if not kind.classic or kind.snaps:
        raise ConfigError(
            f"{kind.where} is the model of a device; seeds are written for classic systems",
            where="model",
            hint="for Ubuntu Core use ubuntu-image; its seeds can be verified here",
        )
    database = Database(model.trust, now)
    database.add_all([*model.trust.others, *model.proofs, model.assertion, *assertions])
    ordered = in_order(snaps)
    refs = [types.snap_revision_ref(snap.pin.sha3_384) for snap in ordered]
    proofs = database.closure([*refs, model.assertion.ref])
    _be_free(folder)
    _clear(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        _fill(part, ordered, [model.assertion, *(one for one in proofs if one is not model.assertion)], link=link)
        (seed,) = seed_check.check(part, trust=model.trust, now=now)
        _hold_to(seed, ordered)
        with suppress(FileNotFoundError):
            folder.rmdir()
        part.rename(folder)
        _sync(folder.parent)
    except OSError as e:
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=folder) from e
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Seed(folder, seed.label, seed.model, seed.snaps, seed.assertions, seed.notes)


def in_order(snaps: Iterable[SeedSnap]) -> list[SeedSnap]:
    """snapd first, then by name, but bases and content providers before those that need them."""
    left = {snap.pin.name: snap for snap in sorted(snaps, key=lambda one: (one.pin.name != "snapd", one.pin.name))}
    found: dict[str, SeedSnap] = {}

    def put(name: str, above: Mapping[str, None]) -> None:
        if name in found or name in above or name not in left:
            return  # providers may need each other; then the alphabet decides
        for needed in sorted(left[name].pin.needs):
            put(needed, {**above, name: None})
        found[name] = left[name]

    for name in left:
        put(name, {})
    return list(found.values())


def _be_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ConfigError("is there already, and not empty", where=folder, hint="remove it, or name another folder")


def _clear(folder: Path) -> None:
    """Remove what a killed process left of the same seed."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(path, ignore_errors=True)


def _fill(folder: Path, snaps: Sequence[SeedSnap], assertions: Sequence[Assertion], *, link: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("snaps", "assertions"):
        _make(folder / name)
    for snap in snaps:
        _place(snap.file, folder / "snaps" / snap.file_name, link=link)
    for one in assertions:
        name = "model" if one.kind == "model" else f"{','.join(one.ref.key)}.{one.kind}"
        _write(folder / "assertions" / name, one.raw)
    entries = [Entry(s.pin.name, s.file_name, s.pin.channel, classic=s.pin.classic) for s in snaps]
    _write(folder / "seed.yaml", seed_yaml.text(entries).encode())
    for path in (folder / "snaps", folder / "assertions", folder):
        _sync(path)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        path.chmod(0o755)  # whatever the caller's umask


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _place(source: Path, target: Path, *, link: bool) -> None:
    if link:
        with suppress(OSError):
            os.link(source, target)
            return
    with source.open("rb") as old, target.open("xb") as new:
        os.fchmod(new.fileno(), 0o644)
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.fsync(new.fileno())


def _hold_to(seed: Seed, snaps: Sequence[SeedSnap]) -> None:
    """Raise if what was written is not what the lock pins."""
    for found, asked in zip(seed.snaps, snaps, strict=True):
        pin = asked.pin
        if (found.snap_id, found.revision, found.sha3_384) != (pin.snap_id, pin.revision, pin.sha3_384):
            raise RefusedError(
                f"{asked.file} is revision {found.revision} of {found.name} ({found.snap_id}); the lock pins revision "
                f"{pin.revision} ({pin.snap_id}) with another hash",
                where=str(types.snap_revision_ref(found.sha3_384)),
            )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
