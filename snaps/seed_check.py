"""Any seed, held against the root of trust: every snap is what it is called, nothing is missing, nothing is extra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from snaps import model as models
from snaps import seed_snaps, seed_yaml
from snaps.assertions.database import Database
from snaps.assertions.parse import Assertion, parse_stream
from snaps.assertions.trust import TrustRoot
from snaps.assertions.types import GLOBAL_UPLOAD
from snaps.model import Model, ModelSnap
from snaps.seed_snaps import Listed, SeededSnap
from snaps.seed_yaml import SeedError

PLACE = Path("var/lib/snapd/seed")  # in a root
MAX_FILE_BYTES = 16 << 20  # of assertions
_LABEL = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")


@dataclass(frozen=True)
class Seed:
    """What a seed has in it, all of it verified.

    label: of a system as Ubuntu Core 20 and later have them, "" for a seed.yaml. model: its address. notes: what does
    not speak against the seed, but may surprise.
    """

    folder: Path
    label: str
    model: str
    snaps: tuple[SeededSnap, ...]
    assertions: int
    notes: tuple[str, ...] = ()


def locate(folder: Path) -> Path:
    """The seed itself, where the folder is one or is a root with one in it. Raises SeedError."""
    for place in (folder, folder / PLACE):
        if (place / "seed.yaml").exists() or (place / "systems").exists():
            if not place.resolve().is_relative_to(folder.resolve()):
                raise SeedError("is a link that leads out of the root", where=place)
            return place
    raise SeedError("holds no seed", where=folder, hint=f"a seed has seed.yaml or systems/; in a root it is in {PLACE}")


def check(folder: Path, *, trust: TrustRoot, now: datetime) -> tuple[Seed, ...]:
    """Verify a seed: one for a seed.yaml, one for each system of Ubuntu Core 20 and later.

    now: aware; when the keys must hold. Raises SeedError, RefusedError for an assertion, SurroundingsError.
    """
    old, new = folder / "seed.yaml", folder / "systems"
    if old.exists() and new.exists():
        raise SeedError("has a seed.yaml and systems/; a seed is of one kind", where=folder)
    if old.exists():
        return (_check_old(folder, trust, now),)
    systems = sorted(new.iterdir()) if new.is_dir() else []
    if not systems:
        raise SeedError("has neither a seed.yaml nor a system in systems/", where=folder)
    seeds = tuple(_check_system(folder, system, trust, now) for system in systems)
    _no_others(folder / "snaps", {snap.file for seed in seeds for snap in seed.snaps})
    return seeds


def _check_old(folder: Path, trust: TrustRoot, now: datetime) -> Seed:
    entries = seed_yaml.parse(_read(folder / "seed.yaml", seed_yaml.MAX_BYTES), where=folder / "seed.yaml")
    assertions = _assertions(folder / "assertions")
    model = _one_model(assertions, folder / "assertions")
    if model.snaps:
        raise SeedError(f"a model that lists its snaps ({model.where}) belongs into systems/LABEL", where=folder)
    database = _database(assertions, trust, now)
    listed = [Listed(e.name, e.snap_id, e.channel, folder / "snaps" / e.file, e.classic) for e in entries]
    snaps, notes = seed_snaps.check(listed, database, required=_required(model, listed))
    _no_others(folder / "snaps", {entry.file for entry in entries})
    return Seed(folder, "", model.where, snaps, len(assertions), notes)


def _required(model: Model, listed: Sequence[Listed]) -> dict[str, str]:
    """Snaps that must be there, and why."""
    names = {one.name for one in listed}
    found = dict.fromkeys(model.required, f"the model {model.where} requires it")
    if not model.classic:
        found.setdefault(model.base or "core", f"it is the base of the model {model.where}")
    if model.base:
        found.setdefault("snapd", "a model with a base needs it")
    if names and not names & {"snapd", "core"}:
        found.setdefault("snapd", "snapd itself, or core, is seeded before all others")
    return found


def _check_system(folder: Path, system: Path, trust: TrustRoot, now: datetime) -> Seed:
    if not _LABEL.fullmatch(system.name):
        raise SeedError("is no label of a system", where=system)
    for name in ("options.yaml", "snaps"):
        if (system / name).exists():
            raise SeedError(
                f"has {name}: options and snaps beside the model's, as only the grade dangerous has them",
                where=system,
                hint="nothing signed says what they are, so this cannot be verified",
            )
    own = _parsed(system / "model")
    assertions = _assertions(system / "assertions")
    model = _one_model([*own, *assertions], system)
    if not model.snaps:
        raise SeedError(f"the model {model.where} does not list its snaps", where=system / "model")
    database = _database([*own, *assertions], trust, now)
    listed = [
        found for snap in _model_snaps(model, database) if (found := _find(snap, database, folder, system)) is not None
    ]
    snaps, notes = seed_snaps.check(listed, database, required={})
    return Seed(folder, system.name, model.where, snaps, len(own) + len(assertions), notes)


def _model_snaps(model: Model, database: Database) -> list[ModelSnap]:
    """Those the model lists; snapd and the base, which it may leave out, before them."""
    named = {snap.name for snap in model.snaps}
    implied = [
        ModelSnap(name, _id_of(name, database), kind, "latest/stable", optional=False)
        for name, kind in (("snapd", "snapd"), (model.base, "base"))
        if name and name not in named
    ]
    return [*implied, *model.snaps]


def _id_of(name: str, database: Database) -> str:
    """The snap-id of a name that only one snap can have: the store sees to that."""
    ids = [
        one.ref.key[1] for one in database if one.kind == "snap-declaration" and one.headers.get("snap-name") == name
    ]
    return ids[0] if len(ids) == 1 else ""


def _find(snap: ModelSnap, database: Database, folder: Path, system: Path) -> Listed | None:
    """The file of a snap of the model; None for an optional one that was left out."""
    revisions = [
        one
        for one in database
        if one.kind == "snap-revision"
        and one.headers.get("snap-id") == snap.snap_id
        and one.optional("provenance") in ("", GLOBAL_UPLOAD)
    ]
    if not revisions and snap.optional:
        return None
    if not snap.snap_id or len(revisions) != 1:
        raise SeedError(
            f"{snap.name}: {len(revisions)} revisions are proved, where one should be"
            if snap.snap_id
            else f"{snap.name}: neither the model nor a snap-declaration gives its snap-id",
            where=system,
        )
    file = folder / "snaps" / f"{snap.name}_{revisions[0].number('snap-revision')}.snap"
    return Listed(snap.name, snap.snap_id, snap.channel, file, classic=True)


def _one_model(assertions: Sequence[Assertion], where: Path) -> Model:
    found = {one.ref: one for one in assertions if one.kind == "model"}
    if len(found) != 1:
        raise SeedError(f"has {len(found)} models where one should be", where=where)
    return models.read(next(iter(found.values())))


def _database(assertions: Sequence[Assertion], trust: TrustRoot, now: datetime) -> Database:
    database = Database(trust, now)
    database.add_all([*trust.others, *assertions])
    return database


def _assertions(folder: Path) -> list[Assertion]:
    return [one for path in seed_snaps.files(folder) for one in _parsed(path)]


def _parsed(path: Path) -> list[Assertion]:
    return parse_stream(_read(path, MAX_FILE_BYTES), where=str(path))


def _read(path: Path, limit: int) -> bytes:
    if seed_snaps.size_of(path) > limit:
        raise SeedError(f"is longer than {limit} bytes", where=path)
    return path.read_bytes()


def _no_others(folder: Path, listed: set[str]) -> None:
    """Raise for a file in snaps/ that no list names: nothing would say what it is."""
    there = {path.name for path in seed_snaps.files(folder)} if folder.exists() else set()
    if extra := sorted(there - listed):
        raise SeedError(f"{extra[0]} is not in the list of snaps", where=folder)
