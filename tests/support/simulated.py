"""A small rebuild in simulated time, for tests of the scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from small_world import archive, binary, source

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.model import Base, BinaryPackage, SourcePackage
from image_builder.archive.schedule.passes import plan_pass
from image_builder.archive.simulate.nature import Chances, Nature
from image_builder.archive.simulate.simulation import Simulation
from image_builder.archive.states import Package, State

CALM = Chances(never=0, crowded=0, flaky=0, guess=0, vanish_seconds=0, sick_seconds=0, twice=0)


def simulation(
    database: Database,
    sources: Sequence[SourcePackage],
    binaries: Sequence[BinaryPackage],
    *,
    base: Base = Base.BOTH,
    seconds: Mapping[str, float] = {},
    chances: Chances = CALM,
    seed: int = 1,
    **words: Any,
) -> Simulation:
    nature = Nature(seed, chances, seconds)
    expected = {one.name: nature.fate(one.name).expected_seconds for one in sources}
    plan = plan_pass(sources, binaries, architecture="amd64", base=base, seconds=expected)
    return Simulation(database, sources, plan, nature, **{"machines": 2, "slots_each": 2, **words})


def chain(length: int) -> tuple[list[SourcePackage], list[BinaryPackage]]:
    """p0 ← p1 ← p2 …"""
    sources = [source(f"p{n}", f"p{n - 1}" if n else "") for n in range(length)]
    return sources, [binary(f"p{n}", f"p{n}") for n in range(length)]


def states(run: Simulation) -> dict[str, State]:
    return {row.key.source: row.state for row in rows(run)}


def rows(run: Simulation) -> list[Package]:
    return run.database.packages(run.run.identity)


def memory() -> Database:
    return open_database(":memory:")


def in_file(folder: Path) -> Database:
    return open_database(folder / "archive.db", durable=False)


__all__ = ["CALM", "archive", "binary", "chain", "in_file", "memory", "rows", "simulation", "source", "states"]
