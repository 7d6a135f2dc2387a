"""What a rebuild would do, found out without doing it: a database in memory takes the archive in and judges it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.configuration import ArchiveConfig, Pass
from image_builder.archive.database.open import open_database
from image_builder.archive.importer import Archive, configured, take_in
from image_builder.archive.installability.judge import Judge
from image_builder.archive.installability.offer import offered
from image_builder.archive.model import Base
from image_builder.archive.states import Package, State


@dataclass(frozen=True)
class Planned:
    """One pass: what there is to do, and what cannot be done with the binaries the archive has."""

    stage: int
    base: Base
    counts: Mapping[str, Mapping[State, int]]  # by architecture
    blocked: Sequence[Package]  # with bd_problem and bd_chain, by name


def plan(config: ArchiveConfig, archive: Archive, one: Pass, chosen: Collection[str], cache: Path) -> Planned:
    """Plan one pass from nothing.

    chosen: names of its sources. cache: for what dose reads and writes. What builds may install is what the archive
    offers, with local packages, also for a pass that builds on results alone: these do not exist yet.
    """
    native = config.architectures[0]
    with open_database(":memory:") as database:
        run = database.add_run(config.name, one.stage, one.base, 0.0)
        rules = configured(config.architecture_rules, config.blacklist)
        take_in(
            database, run.identity, config.suite, config.architectures, archive, (), 0.0, chosen=chosen, rules=rules
        )
        places = {a: [a, "all"] if a == native else [a] for a in config.architectures}
        judge = Judge(database, run, config.suite, places, cache, frozenset(config.toolchain.build_profiles))
        local = archive.local.binaries.values()
        offers = {
            architecture: offered(
                Base.OLD, (b for b in archive.binaries if b.architecture in ("all", architecture)), (), local=local
            )
            for architecture in config.architectures
        }
        judge.judge(archive.sources, offers, 0.0)
        blocked = database.packages(run.identity, states=[State.BD_UNINSTALLABLE])
        counts = database.counts(run.identity)
    by_architecture = {architecture: states for (_, _, architecture), states in sorted(counts.items())}
    by_name = sorted(blocked, key=lambda package: (package.key.source, package.key.architecture))
    return Planned(one.stage, one.base, by_architecture, by_name)
