"""The passes of a rebuild, one after the other: taken in, put in order, driven to their end, resumed after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from image_builder.archive.configuration import Pass, Schedule
from image_builder.archive.database.records import Expected, Run
from image_builder.archive.database.store import Database
from image_builder.archive.importer import configured, take_in
from image_builder.archive.model import Base
from image_builder.archive.rebuild.choosing import chosen
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.rebuild.installable import Installable
from image_builder.archive.rebuild.machine import Machine
from image_builder.archive.rebuild.offers import Offers, made
from image_builder.archive.rebuild.orders import Orders
from image_builder.archive.rebuild.renewal import renewed
from image_builder.archive.rebuild.taking import Taking
from image_builder.archive.schedule.clock import SystemClock
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.passes import PlannedPass, plan_pass
from image_builder.archive.schedule.policy import Limits
from image_builder.archive.schedule.scheduler import Scheduler
from image_builder.archive.schedule.seams import Lane, Seams, Settings
from image_builder.archive.schedule.trigger import RepositoryTrigger
from image_builder.archive.stages import follows_itself
from image_builder.archive.states import State
from image_builder.jobs.local import Local

DEFAULT_SECONDS = 300.0  # of a build nobody has seen yet
DEFAULT_MEMORY = 2 << 30
DEFAULT_DISK = 4 << 30
# Nothing becomes of these by itself.
ENDED = {State.INSTALLED, State.BUILD_ATTEMPTED, State.FAILED, State.NOT_FOR_US, State.AUTO_NOT_FOR_US}
STEP_S = 5.0  # how often a run looks up when nothing happens


@dataclass
class Rebuild:
    """All passes of one configuration. say: a line for whoever watches."""

    ground: Ground
    database: Database
    machine: Machine
    say: Callable[[str], None]
    _said: str = ""

    def __post_init__(self) -> None:
        self._time = SystemClock(self.database.latest())
        self.clock = self._time.now

    def run(self, stages: tuple[int, ...] = ()) -> dict[str, dict[State, int]]:
        """Drive the passes, or only these stages, to their ends. Return run -> how many packages ended in which state.

        Raises PipelineError; what was done stays done, and the next call goes on from there.
        """
        ended: dict[str, dict[State, int]] = {}
        before: Run | None = None
        for one in self.ground.config.passes:
            run = self._run_of(one, before)
            before = run
            if stages and one.stage not in stages:
                continue
            names = self._taken_in(one, run)
            if not self._states(run).keys() <= ENDED:  # else there is nothing to plan, which takes its time
                with self._scheduler(one, run, names) as scheduler:
                    while scheduler.step(STEP_S):
                        self._tell(run)
            self.database.finish_run(run.identity, self.clock())
            self.ground.repository.update(self.ground.config.suite)
            ended[run.name] = self._states(run)
            self.say(f"{run.name}: {_counted(ended[run.name])}")
        return ended

    def _run_of(self, one: Pass, before: Run | None) -> Run:
        """The pass's row of runs: the one that was begun, else a new one."""
        name = f"{self.ground.config.name} stage {one.stage}"
        known = {run.name: run for run in self.database.runs(self.ground.config.name)}
        if name in known:
            run, again = renewed(self.database, known[name], self.ground.config, self.clock())
            if again:
                self.say(f"{name}: the toolchain is another one, so {again} packages are built again")
            return run
        return self.database.add_run(
            self.ground.config.name,
            one.stage,
            one.base,
            self.clock(),
            toolchain=self.ground.config.toolchain.digest(),
            follows=None if before is None else before.identity,
            configuration=self.ground.config.model_dump_json(),
        )

    def _taken_in(self, one: Pass, run: Run) -> set[str]:
        """Compare the archive with what was built; return the names of what the pass builds."""
        ground, config, now = self.ground, self.ground.config, self.clock()
        names = chosen(ground, one)
        self.say(f"{run.name}: {len(names)} sources, against {one.base}")
        rules = configured(config.architecture_rules, config.blacklist)
        take_in(self.database, run.identity, config.suite, config.architectures, ground.archive,
                made(ground, run, self.database.forgiven(run.identity)), now, chosen=names, rules=rules)  # fmt: skip
        return names

    @contextmanager
    def _scheduler(self, one: Pass, run: Run, names: set[str]) -> Iterator[Scheduler]:
        ground, config = self.ground, self.ground.config
        lanes = [Lane(config.suite, a, a) for a in config.architectures]
        lanes.append(Lane(config.suite, "all", ground.native))
        plans: dict[str, PlannedPass] = {}
        gates = {lane: self._planned(one, run, lane, names, plans) for lane in lanes}
        schedule = config.schedule
        offers = Offers(ground, run, self.clock)
        installable = Installable(self.database, run, ground.archive.sources, offers, config.work / "dose",
                                  frozenset(config.toolchain.build_profiles))  # fmt: skip
        taking = Taking(ground, run, offers)
        trigger = RepositoryTrigger(
            self.database, run, gates, publish=lambda _: offers.refresh(), check=installable.check,
            waits=installable.waits,
        )  # fmt: skip
        orders = Orders(ground, self.database, run, config.work / "assignments", self.machine, self.clock)
        settings = Settings(
            order=schedule.order,
            weights=schedule.weights,
            limits=_limits(schedule),
            lease_seconds=schedule.lease_seconds,
            time_limit_seconds=schedule.time_limit_seconds,
            trigger_seconds=schedule.trigger_seconds,
            trigger_least_seconds=schedule.trigger_min_seconds,
        )
        with (
            Local(
                config.work / "jobs",
                architectures=config.architectures,
                slots=self.machine.slots,
                memory_bytes=self.machine.memory_bytes,
                disk_bytes=self.machine.disk_bytes,
                lease_seconds=schedule.lease_seconds,
                heartbeat_seconds=schedule.heartbeat_seconds,
            ) as executor,
            Scheduler(
                self.database, run, lanes, executor, self._time,
                Seams(orders, taking.judge, taking.accept, trigger), settings,
            ) as scheduler,
        ):  # fmt: skip
            yield scheduler

    def _planned(self, one: Pass, run: Run, lane: Lane, names: set[str], plans: dict[str, PlannedPass]) -> Gate:
        """plans: by machine; lanes of one machine share theirs, since it takes seconds."""
        ground, config = self.ground, self.ground.config
        sources = [source for name, source in ground.archive.sources.items() if name in names]
        last = self.database.last_builds(lane.architecture)
        expected = {
            source.name: Expected(known.seconds, known.memory_bytes, known.disk_bytes)
            if (known := last.get(source.name)) is not None
            else Expected(DEFAULT_SECONDS, DEFAULT_MEMORY, DEFAULT_DISK)
            for source in sources
        }
        # Against results of earlier stages only there is nobody to wait for, as against the old archive.
        base = one.base if config.schedule.follow and follows_itself(config.passes, one.stage) else Base.OLD
        if lane.machine not in plans:
            plans[lane.machine] = plan_pass(
                sources,
                ground.old_binaries(lane.machine),
                architecture=lane.machine,
                base=base,
                seconds={name: known.seconds for name, known in expected.items()},
                earlier=ground.stages.built_before(one.stage, config.suite, (lane.machine, "all")),
                dropped=config.cycles.dropped(),
                borrow=config.cycles.old_binaries,
                profiles=frozenset(config.toolchain.build_profiles),
            )
        plan = plans[lane.machine]
        place = (run.identity, lane.suite, lane.architecture)
        self.database.set_expected(*place, expected)
        self.database.set_paths(*place, plan.remaining)
        return Gate(plan.graph, base)

    def _tell(self, run: Run) -> None:
        line = f"{run.name}: {_counted(self._states(run))}"
        if line != self._said:
            self._said = line
            self.say(line)

    def _states(self, run: Run) -> dict[State, int]:
        together: dict[State, int] = {}
        for states in self.database.counts(run.identity).values():
            for state, count in states.items():
                together[state] = together.get(state, 0) + count
        return together


def _limits(schedule: Schedule) -> Limits:
    usual = Limits(longest_delay_seconds=schedule.longest_delay_seconds, alone=schedule.alone)
    return replace(
        usual,
        tries={**usual.tries, **schedule.tries},
        delay_seconds={**usual.delay_seconds, **schedule.delay_seconds},
    )


def _counted(states: dict[State, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "nothing to do"
