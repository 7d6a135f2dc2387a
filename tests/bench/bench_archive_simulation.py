"""Archive rebuild: a pass over the whole of Debian 12 in simulated time, stopped and started again in the middle."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from command import main
from ground import Ground
from report import Report, Row, measured

from image_builder.archive.database.open import open_database
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.model import Base, BinaryPackage, SourcePackage
from image_builder.archive.schedule.passes import PlannedPass, base_system, plan_pass
from image_builder.archive.simulate.nature import Chances, Nature
from image_builder.archive.simulate.simulation import Simulation, Summary

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from debian_indices import ARCHITECTURE, Indices, fetch

RATIO = 1.10  # of the least time possible with what happened
AT_MOST_S = 600.0
MACHINES, SLOTS = 50, 2
SEED = 1


def bench(ground: Ground, quick: bool) -> Report:
    return compare(ground.folder, fetch(ground.folder / "indices"), quick)


def compare(folder: Path, indices: Indices, quick: bool) -> Report:
    """quick: every twentieth source, on as many fewer machines."""
    logging.disable(logging.WARNING)  # machines that vanish say so
    sources = list(latest(read_sources(indices.sources)).values())
    binaries = read_packages(indices.packages)
    machines = MACHINES
    if quick:
        sources, machines = sources[::20], MACHINES // 10
    nature = Nature(SEED, Chances())
    order, plan = measured(lambda: _plan(sources, binaries, nature))
    cost, found = measured(lambda: _run(folder / "archive.db", sources, plan, nature, machines))
    slots = machines * SLOTS
    rows = [
        Row("who waits for whom, cycles, longest ways", order),
        Row(f"a pass over {len(sources)} sources on {slots} slots", order + cost, bound=AT_MOST_S),
        Row("simulated time, against the least possible", ratio=found.ratio, bound=RATIO),
        Row("packages in no accepted state, or not once", ratio=float(len(found.wrong)), bound=0.0),
    ]
    work = found.work
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    notes = [
        f"{found.seconds / 3600:.1f} h simulated; least possible: longest chain {found.bound.critical / 3600:.1f} h, "
        f"all attempts over all slots {found.bound.work / 3600:.1f} h",
        f"{states}; {work.attempts} attempts; {len(plan.borrowed)} sources in cycles, broken by older builds",
        f"machines went away {work.vanished} times with {work.lost} builds; {work.late} results came late, "
        f"{work.twice} twice; the repository was looked at {found.triggers} times",
        f"the real scheduler on SQLite; times drawn (seed {SEED}), machines and installability simulated; the database "
        "was closed and opened again, with a new scheduler, when half of the time was over",
        *(f"wrong: {line}" for line in found.wrong[:5]),
    ]
    return Report("Archive rebuild: a whole archive, simulated", rows, notes)


def _plan(sources: list[SourcePackage], binaries: list[BinaryPackage], nature: Nature) -> PlannedPass:
    return plan_pass(
        sources,
        binaries,
        architecture=ARCHITECTURE,
        base=Base.BOTH,
        seconds={one.name: nature.fate(one.name).expected_seconds for one in sources},
        earlier=base_system(sources, binaries, ARCHITECTURE),
    )


def _run(file: Path, sources: list[SourcePackage], plan: PlannedPass, nature: Nature, machines: int) -> Summary:
    half = sum(nature.fate(one.name).seconds for one in sources) / (machines * SLOTS) / 2
    with open_database(file, durable=False) as database:
        simulation = Simulation(database, sources, plan, nature, machines=machines, slots_each=SLOTS)
        with simulation.scheduler() as scheduler:
            assert not simulation.go(scheduler, until=half)
    with open_database(file, durable=False) as database:
        simulation.database = database
        with simulation.scheduler() as scheduler:
            simulation.go(scheduler)
        return simulation.summary()


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
