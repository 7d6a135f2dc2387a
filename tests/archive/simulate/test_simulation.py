"""A rebuild of 2,000 packages in simulated time, with all that can go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated import archive, chain, in_file, memory, simulation, states

from image_builder.archive.model import Base
from image_builder.archive.order import build_graph
from image_builder.archive.simulate.bound import lower_bound
from image_builder.archive.simulate.nature import Chances
from image_builder.archive.states import State

PACKAGES = 2000
HARD = Chances(vanish_seconds=40 * 3600.0, sick_seconds=80 * 3600.0)  # more of it than there would be, in a short run


def test_the_bound_is_the_longest_chain_or_the_work_over_the_slots() -> None:
    graph = build_graph(*chain(3), architecture="amd64")
    seconds = {"p0": 10.0, "p1": 20.0, "p2": 30.0}
    assert lower_bound(graph, seconds, 60.0, 4).seconds == 60.0
    assert lower_bound(graph, seconds, 800.0, 4).seconds == 200.0


def test_two_thousand_packages_stopped_and_started_again(tmp_path: Path) -> None:
    """Each ends in one accepted state, and the time is at most 1.10 of the least possible."""
    sources, binaries = archive(PACKAGES, 1, width=8, cycles=60)
    with in_file(tmp_path) as database:
        simulated = simulation(database, sources, binaries, chances=HARD, machines=8, slots_each=2, seed=11)
        with simulated.scheduler() as scheduler:
            assert not simulated.go(scheduler, until=2 * 3600.0)
        before = {name for name, state in states(simulated).items() if state is State.INSTALLED}
        assert 100 < len(before) < PACKAGES - 500
    with in_file(tmp_path) as database:
        simulated.database = database
        with simulated.scheduler() as scheduler:
            assert simulated.go(scheduler)
        found = simulated.summary()
        after = states(simulated)
    assert found.wrong == []
    assert {name for name in before if after[name] is not State.INSTALLED} == set()
    assert sum(found.states.values()) == PACKAGES
    assert found.states[State.INSTALLED] > 0.95 * PACKAGES
    work = found.work
    assert min(work.vanished, work.lost, work.late, work.twice) > 0
    assert work.attempts > PACKAGES
    assert 1.0 <= found.ratio <= 1.10


@pytest.mark.parametrize("base", [Base.OLD, Base.BUILT])
def test_the_other_bases(base: Base) -> None:
    sources, binaries = archive(150, 2, cycles=5)
    with memory() as database:
        simulated = simulation(database, sources, binaries, base=base, chances=Chances(), machines=4)
        with simulated.scheduler() as scheduler:
            simulated.go(scheduler)
        found = simulated.summary()
    assert found.wrong == []
    assert found.states[State.BD_UNINSTALLABLE] == 0 or base is Base.BUILT


def test_without_anything_borrowed_cycles_are_left_and_said() -> None:
    """What nobody can begin is not begun, and the run ends all the same."""
    from small_world import binary, source

    from image_builder.archive.schedule.passes import plan_pass
    from image_builder.archive.simulate.nature import Nature
    from image_builder.archive.simulate.simulation import Simulation

    sources = [source("a", "b"), source("b", "a"), source("c")]
    binaries = [binary("a", "a"), binary("b", "b")]
    plan = plan_pass(sources, binaries, architecture="amd64", base=Base.BUILT, seconds={}, borrow=False)
    with memory() as database:
        simulated = Simulation(database, sources, plan, Nature(1, Chances(never=0)), machines=1)
        with simulated.scheduler() as scheduler:
            assert simulated.go(scheduler)
        rows = {row.key.source: row for row in database.packages(simulated.run.identity)}
    assert rows["c"].state is State.INSTALLED
    assert (rows["a"].state, rows["a"].bd_problem) == (State.BD_UNINSTALLABLE, "waits for b to be built")
