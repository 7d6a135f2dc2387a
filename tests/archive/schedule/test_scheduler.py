"""The scheduler with the real database; machines and time are simulated."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulated import CALM, archive, chain, in_file, memory, rows, simulation, source, states

from image_builder.archive.database.records import Finish, Result
from image_builder.archive.database.store import Database
from image_builder.archive.model import Attempt, Base, Key, Outcome
from image_builder.archive.priority import Order
from image_builder.archive.requests import Action, Refusal, Request
from image_builder.archive.schedule.policy import Limits
from image_builder.archive.schedule.scheduler import Scheduler
from image_builder.archive.schedule.seams import Judged, Settings, reference
from image_builder.archive.simulate.nature import Chances
from image_builder.archive.simulate.simulation import SUITE, Simulation
from image_builder.archive.states import Cause, State
from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.jobs.interface import Finished


@pytest.fixture
def database() -> Iterator[Database]:
    with memory() as found:
        yield found


def run(simulated: Simulation) -> Simulation:
    with simulated.scheduler() as scheduler:
        simulated.go(scheduler)
    assert simulated.summary().wrong == []
    return simulated


def starts(simulated: Simulation) -> list[str]:
    """Sources in the order they were first taken."""
    book = simulated.database.transactions(simulated.run.identity)
    return list(dict.fromkeys(one.key.source for one in reversed(book) if one.action == Action.TAKE))


def key(name: str) -> Key:
    return Key(SUITE, "amd64", name)


def test_a_chain_is_built_one_after_the_other_each_as_soon_as_it_can(database: Database) -> None:
    done = run(simulation(database, *chain(5), seconds={f"p{n}": 600.0 for n in range(5)}))
    assert starts(done) == [f"p{n}" for n in range(5)]
    assert set(states(done).values()) == {State.INSTALLED}
    assert 3000.0 <= done.summary().seconds < 3000.0 + 5 * 60 + 25  # a minute at most until the repository is looked at


def test_those_on_the_longest_way_come_first(database: Database) -> None:
    sources, binaries = chain(4)
    sources = [*(source(f"a{n}") for n in range(6)), *sources]
    done = run(simulation(database, sources, binaries, seconds={f"a{n}": 500.0 for n in range(6)}, machines=1))
    assert starts(done)[0] == "p0"


def test_what_people_ask_for_comes_before_that(database: Database) -> None:
    sources, binaries = chain(4)
    simulated = simulation(database, [*sources, source("wanted")], binaries, machines=1, slots_each=1)
    database.move(simulated.run.identity, key("wanted"), Request(Action.PRIORITY, "me", number=5), simulated.began)
    assert starts(run(simulated))[0] == "wanted"


def test_wanna_builds_formula_can_be_had_instead(database: Database) -> None:
    sources, binaries = chain(4)
    sources = [*sources, replace(source("zlib"), section="libs", priority="required")]
    simulated = simulation(
        database, sources, binaries, machines=1, slots_each=1, settings=Settings(order=Order.WANNA_BUILD)
    )
    assert starts(run(simulated))[0] == "zlib"


def test_never_more_is_handed_out_than_machines_can_take_and_what_is_allowed_ahead(database: Database) -> None:
    sources, binaries = archive(60, 1)
    assert run(simulation(database, sources, binaries)).executor.work.most_handed_out <= 4
    with memory() as other:
        ahead = run(simulation(other, sources, binaries, settings=Settings(ahead=3)))
        assert 4 < ahead.executor.work.most_handed_out <= 7


def test_a_failure_is_retried_alone_before_it_is_called_one(database: Database) -> None:
    sources = [source(f"s{n}") for n in range(12)]
    done = run(simulation(database, sources, [], chances=replace(CALM, never=1.0)))
    for one in rows(done):
        assert one.state is State.BUILD_ATTEMPTED
        assert [r.alone for r in database.attempts(done.run.identity, one.key)] == [False, True]


def test_what_only_fails_in_company_is_built_alone(database: Database) -> None:
    done = run(simulation(database, [source(f"s{n}") for n in range(8)], [], chances=replace(CALM, crowded=1.0)))
    assert set(states(done).values()) == {State.INSTALLED}
    outcomes = [[r.outcome for r in database.attempts(done.run.identity, one.key)] for one in rows(done)]
    assert outcomes == [[Outcome.ATTEMPTED, Outcome.SUCCEEDED]] * 8


def test_what_is_given_back_is_tried_later_and_that_is_said(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    done = run(simulation(database, [source("a")], [], chances=replace(CALM, flaky=1.0), seconds={"a": 60.0}))
    first, second = database.attempts(done.run.identity, key("a"))
    assert (first.outcome, second.outcome) == (Outcome.GIVE_BACK, Outcome.SUCCEEDED)
    assert second.started >= (first.finished or 0.0) + 900.0
    assert [said for said in caplog.messages if said.startswith("a: tried again in 900 s: ")]


def test_after_a_failure_the_old_archives_binary_serves_with_base_both(database: Database) -> None:
    done = run(simulation(database, *chain(3), chances=replace(CALM, never=1.0)))
    assert set(states(done).values()) == {State.BUILD_ATTEMPTED}  # each was tried


def test_after_a_failure_what_needs_it_is_not_built_with_base_built(database: Database) -> None:
    done = run(simulation(database, *chain(3), base=Base.BUILT, chances=replace(CALM, never=1.0)))
    assert states(done) == {"p0": State.BUILD_ATTEMPTED, "p1": State.BD_UNINSTALLABLE, "p2": State.BD_UNINSTALLABLE}
    assert rows(done)[1].bd_problem == "needs what p0 should have made, whose build failed"
    assert rows(done)[2].bd_problem == "waits for p1 to be built"


def test_machines_that_vanish_lose_nothing(database: Database) -> None:
    sources, binaries = archive(80, 2)
    chances = replace(CALM, vanish_seconds=3600.0, away_seconds=900.0)
    done = run(simulation(database, sources, binaries, chances=chances, machines=4))
    work = done.executor.work
    assert work.vanished > 3
    assert work.lost > 3
    assert set(states(done).values()) == {State.INSTALLED}


def test_a_result_that_comes_late_or_twice_is_not_taken_again(database: Database) -> None:
    sources, binaries = archive(100, 3)
    chances = replace(CALM, vanish_seconds=3600.0, away_seconds=1200.0, twice=0.2)
    done = run(simulation(database, sources, binaries, chances=chances, machines=6, seed=5))
    assert done.executor.work.late > 0
    assert done.executor.work.twice > 0
    assert all(len(attempts) == 1 for attempts in done.repository.taken.values())


def test_a_sick_machine_rests_and_its_packages_are_built_elsewhere(database: Database) -> None:
    sources = [source(f"s{n}") for n in range(60)]
    chances = replace(CALM, sick_seconds=12000.0, sick_for_seconds=3000.0)
    done = run(simulation(database, sources, [], chances=chances, machines=4, seed=2))
    assert any(machine.rests_until for machine in done.executor.machines)
    assert set(states(done).values()) == {State.INSTALLED}


def test_two_schedulers_on_one_run_refuse(database: Database) -> None:
    simulated = simulation(database, *chain(2))
    with simulated.scheduler(), pytest.raises(ConfigError, match="another scheduler is at work"):
        simulated.scheduler().start()
    run(simulated)


def test_one_that_was_killed_is_forgotten_after_its_claim(database: Database) -> None:
    simulated = simulation(database, *chain(2))
    simulated.scheduler().start()
    simulated.clock.time += 301.0
    run(simulated)


def test_a_scheduler_that_slept_while_another_took_over_touches_nothing(database: Database) -> None:
    simulated = simulation(database, *chain(3))
    sleeper = simulated.scheduler()
    sleeper.start()
    simulated.clock.time += 301.0
    with simulated.scheduler() as other:
        other.step(10.0)
        before = database.transactions(simulated.run.identity)
        simulated.clock.time += 100.0
        with pytest.raises(ConfigError, match="another scheduler"):
            sleeper.step(10.0)
        assert database.transactions(simulated.run.identity) == before


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_step_and_started_again_it_goes_on(database: Database, seed: int) -> None:
    """Killed between two steps, or within one: at some of its calls of the database or the machines."""
    chance = random.Random(seed)
    sources, binaries = archive(60, seed, cycles=4)
    chances = replace(Chances(), vanish_seconds=7200.0)
    simulated = simulation(database, sources, binaries, chances=chances, machines=3, seed=seed)
    kills = 0
    while True:
        scheduler = simulated.scheduler()
        fatal = _Fatal(chance.randrange(3, 120))
        scheduler.database = fatal.watch(database)
        scheduler.executor = fatal.watch(simulated.executor)
        try:
            scheduler.start()
            simulated.go(scheduler)
            break
        except KilledError:
            kills += 1
            assert kills < 400
            simulated.clock.time += 301.0 * chance.randrange(1, 5)  # until its claim is over, and longer
    assert kills > 3
    assert simulated.summary().wrong == []


class KilledError(BaseException):
    """SIGKILL: no handler of an exception is to notice."""


class _Fatal:
    """Lets so many calls through; the next one happens, or does not, and then all is over."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def watch(self, real: Any) -> Any:
        outer = self

        class Watched:
            def __getattr__(self, name: str) -> Any:
                method = getattr(real, name)

                def call(*args: Any, **words: Any) -> Any:
                    outer.calls -= 1
                    if outer.calls == 0:
                        raise KilledError
                    found = method(*args, **words)
                    if outer.calls == 1:
                        outer.calls = -1
                        raise KilledError
                    return found

                return call

        return Watched()


def test_all_that_was_out_is_built_again_when_the_machines_forgot_it(database: Database) -> None:
    simulated = simulation(database, [source(f"s{n}") for n in range(9)], [])
    scheduler = simulated.scheduler()
    scheduler.start()
    scheduler.step(1.0)
    out = database.live_attempts(simulated.run.identity)
    assert len(out) == 4
    for one in out:
        simulated.executor.cancel(reference(one.attempt))
        simulated.executor.forget(reference(one.attempt))
    scheduler.close()
    run(simulated)
    given_back = database.attempts(simulated.run.identity, out[0].attempt.key)
    assert [one.outcome for one in given_back] == [Outcome.CANCELLED, Outcome.SUCCEEDED]


def test_a_clock_that_is_set_back_costs_nothing(database: Database) -> None:
    simulated = simulation(database, *archive(30, 4))
    with simulated.scheduler() as scheduler:
        for number in range(1000):
            if number == 5:
                simulated.clock.time -= 86400.0
            if not scheduler.step(900.0):
                break
            if number == 5:
                simulated.clock.time += 86400.0
    assert simulated.summary().wrong == []


def delivering(simulated: Simulation, accept: Any) -> Scheduler:
    scheduler = simulated.scheduler()
    scheduler.seams = replace(scheduler.seams, accept=accept)
    return scheduler


def test_results_that_are_refused_are_the_machines_fault_and_come_again(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    refused: list[int] = []

    def accept(attempt: Attempt, finished: Finished) -> None:
        if not refused:
            refused.append(attempt.identity)
            raise PipelineError("a wrong version was delivered", where="a_2_amd64.changes")
        simulated._accept(attempt, finished)

    with delivering(simulated, accept) as scheduler:
        simulated.go(scheduler)
    assert simulated.summary().wrong == []
    first = database.attempts(simulated.run.identity, key("a"))[0]
    assert (first.outcome, "wrong version" in first.reason) == (Outcome.BUILDER_FAULT, True)


def test_results_wait_while_the_disk_is_full(database: Database) -> None:
    simulated = simulation(database, *chain(2))
    failures = [3]

    def accept(attempt: Attempt, finished: Finished) -> None:
        if failures[0]:
            failures[0] -= 1
            raise SurroundingsError("the disk is full", where="results")
        simulated._accept(attempt, finished)

    with delivering(simulated, accept) as scheduler:
        simulated.go(scheduler)
    assert simulated.summary().wrong == []
    assert len(database.attempts(simulated.run.identity, key("p0"))) == 1  # not built again for that


def test_a_dependency_that_is_missing_is_waited_for(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    scheduler = simulated.scheduler()
    scheduler.seams = replace(
        scheduler.seams,
        judge=lambda attempt, finished: Judged(Outcome.DEP_WAIT, "libfoo-dev (>= 2)"),  # noqa: ARG005
    )
    with scheduler:
        simulated.go(scheduler)
    (row,) = rows(simulated)
    assert (row.state, row.depends) == (State.DEP_WAIT, "libfoo-dev (>= 2)")


def test_a_build_that_was_stopped_with_its_machine_is_begun_again(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    with simulated.scheduler() as scheduler:
        scheduler.step(1.0)
        (out,) = database.live_attempts(simulated.run.identity)
        simulated.executor.cancel(reference(out.attempt))
        simulated.go(scheduler)
    assert simulated.summary().wrong == []
    outcomes = [one.outcome for one in database.attempts(simulated.run.identity, key("a"))]
    assert outcomes == [Outcome.CANCELLED, Outcome.SUCCEEDED]


def test_a_package_somebody_moves_away_while_it_is_built_is_left_alone(database: Database) -> None:
    simulated = simulation(database, [source("a"), source("b")], [])
    with simulated.scheduler() as scheduler:
        scheduler.step(1.0)
        answer = database.move(
            simulated.run.identity, key("a"), Request(Action.NO_BUILD, "me", override=True), simulated.clock.now()
        )
        assert not isinstance(answer, Refusal)
        simulated.go(scheduler)
    assert states(simulated) == {"a": State.NOT_FOR_US, "b": State.INSTALLED}
    assert simulated.repository.taken.keys() == {"b"}


def test_retries_are_counted_across_a_restart(database: Database) -> None:
    limits = Limits(tries={Outcome.GIVE_BACK: 3}, delay_seconds={}, alone=False)
    simulated = simulation(database, [source("a")], [], settings=Settings(limits=limits))
    attempts = 0
    while attempts < 10 and states(simulated)["a"] is not State.BUILD_ATTEMPTED:
        scheduler = simulated.scheduler()
        scheduler.seams = replace(
            scheduler.seams,
            judge=lambda attempt, finished: Judged(Outcome.GIVE_BACK, "bad luck"),  # noqa: ARG005
        )
        with scheduler:
            for _ in range(3):
                scheduler.step(900.0)
        attempts = len(database.attempts(simulated.run.identity, key("a")))
    assert attempts == 3
    assert rows(simulated)[0].cause is Cause.RETRIES


def test_the_token_of_one_attempt_does_not_open_another(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    with simulated.scheduler() as scheduler:
        scheduler.step(1.0)
        (out,) = database.live_attempts(simulated.run.identity)
        result = Result(Outcome.SUCCEEDED, "1-1", 1.0)
        (answer,) = database.finish_many(
            [Finish(out.attempt.identity, "guessed", result, (Request(Action.BUILT, "scheduler"),))], simulated.began
        )
        assert isinstance(answer, Refusal)
        simulated.go(scheduler)
    assert simulated.summary().wrong == []


def test_the_state_is_in_the_file_alone(tmp_path: Path) -> None:
    sources, binaries = archive(40, 6)
    with in_file(tmp_path) as first:
        simulated = simulation(first, sources, binaries)
        scheduler = simulated.scheduler()
        scheduler.start()
        for _ in range(8):
            scheduler.step(900.0)
        scheduler.close()
    with in_file(tmp_path) as second:
        simulated.database = second
        run(simulated)


def test_a_build_that_is_called_off_is_ended_soon(database: Database) -> None:
    simulated = simulation(database, [source("a")], [], seconds={"a": 36000.0}, settings=Settings(void_seconds=10.0))
    with simulated.scheduler() as scheduler:
        scheduler.step(1.0)
        database.move(
            simulated.run.identity, key("a"), Request(Action.CANCEL, "me", override=True), simulated.clock.now()
        )
        simulated.go(scheduler)
    assert simulated.clock.now() - simulated.began < 300.0
    assert list(simulated.executor.references()) == []
    (row,) = rows(simulated)
    assert (row.state, row.cause) == (State.BUILD_ATTEMPTED, Cause.CANCELLED)


class _Silent:
    """Machines of which nobody ever hears."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def events(self, timeout_seconds: float) -> list[Any]:
        self.real.events(timeout_seconds)
        return []


def test_a_package_of_which_nothing_is_ever_heard_is_given_up(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    with simulated.scheduler() as scheduler:
        scheduler.executor = _Silent(simulated.executor)  # type: ignore[assignment]
        simulated.go(scheduler)
    (row,) = rows(simulated)
    assert (row.state, len(database.attempts(simulated.run.identity, row.key))) == (State.FAILED, 5)
    assert "the last of 5 attempts" in row.failed


def test_what_cannot_be_handed_out_is_given_up_with_the_reason(database: Database) -> None:
    simulated = simulation(database, [source("a"), source("b")], [])
    scheduler = simulated.scheduler()

    def orders(attempt: Attempt, *, alone: bool) -> Any:
        if attempt.key.source == "a":
            raise PipelineError("its .dsc is not in the archive", where="a_1-1.dsc")
        return simulated._order(attempt, alone=alone)

    scheduler.seams = replace(scheduler.seams, orders=orders)
    with scheduler:
        simulated.go(scheduler)
    assert states(simulated) == {"a": State.BUILD_ATTEMPTED, "b": State.INSTALLED}
    assert "its .dsc is not in the archive" in database.attempts(simulated.run.identity, key("a"))[-1].reason


def test_a_run_for_which_there_is_no_machine_is_refused(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    scheduler = simulated.scheduler()
    scheduler.lanes = (replace(simulated.lane, machine="armhf"),)
    with pytest.raises(ConfigError, match="no machine builds for armhf"):
        scheduler.start()


def test_nothing_is_begun_where_the_repository_cannot_be_brought_up_to_date(database: Database) -> None:
    simulated = simulation(database, [source("a")], [])
    scheduler = simulated.scheduler()

    def trigger(now: float) -> int:  # noqa: ARG001
        raise SurroundingsError("the disk is full", where="repository")

    scheduler.seams = replace(scheduler.seams, trigger=trigger)
    with scheduler, pytest.raises(SurroundingsError):
        simulated.go(scheduler)
    assert states(simulated) == {"a": State.BD_UNINSTALLABLE}


def test_one_that_was_killed_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    with in_file(tmp_path) as database:
        simulated = simulation(database, *chain(2))
        child = os.fork()
        if child == 0:
            try:
                with in_file(tmp_path) as own:
                    simulated.database = own
                    simulated.scheduler().start()
            finally:
                os._exit(9)  # as SIGKILL: the claim stays
        os.waitpid(child, 0)
        name = f"scheduler of run {simulated.run.identity}"
        there = database.holder(name, simulated.clock.now())
        assert there is not None
        assert there.split(":")[1] == str(child)
        run(simulated)
        # Of another machine, or another life of this one, nobody can tell: that one is waited for.
        host, _, born, machine, token = there.split(":")
        for other in (f"{host}:{child}:{born}:{'0' * 16}:{token}", f"{host}:{os.getpid()}:{born}:{machine}:{token}"):
            assert database.claim(name, other, simulated.clock.now(), 300.0)
            if other.split(":")[3] == machine:  # its number is another process's by now: it is gone
                run(simulated)
                continue
            with pytest.raises(ConfigError, match=rf"another scheduler is at work \({host}:{child}\)"):
                simulated.scheduler().start()
            database.release(name, other)
