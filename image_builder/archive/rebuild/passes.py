"""The passes of a rebuild, one after the other: taken in, put in order, driven to their end, resumed after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from image_builder.archive.configuration import Pass, Schedule
from image_builder.archive.database.records import Expected, Run
from image_builder.archive.database.store import Database
from image_builder.archive.importer import configured, take_in
from image_builder.archive.installability.offer import build_tools, offered
from image_builder.archive.model import Base, BinaryPackage
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.rebuild.installable import Installable
from image_builder.archive.rebuild.machine import Machine
from image_builder.archive.rebuild.orders import Orders
from image_builder.archive.rebuild.taking import Taking
from image_builder.archive.schedule.clock import SystemClock
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.passes import plan_pass
from image_builder.archive.schedule.policy import Limits
from image_builder.archive.schedule.scheduler import Scheduler
from image_builder.archive.schedule.seams import Lane, Seams, Settings
from image_builder.archive.schedule.trigger import RepositoryTrigger
from image_builder.archive.states import State
from image_builder.jobs.local import Local

DEFAULT_SECONDS = 300.0  # of a build nobody has seen yet
DEFAULT_MEMORY = 2 << 30
DEFAULT_DISK = 4 << 30
STEP_S = 5.0  # how often a run looks up when nothing happens


@dataclass
class Rebuild:
    """All passes of one configuration. say: a line for whoever watches."""

    ground: Ground
    database: Database
    machine: Machine
    say: Callable[[str], None]
    clock: Callable[[], float] = SystemClock().now
    _said: str = ""

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
            with self._scheduler(one, run) as scheduler:
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
            return known[name]
        return self.database.add_run(
            self.ground.config.name,
            one.stage,
            one.base,
            self.clock(),
            toolchain=self.ground.config.toolchain.digest(),
            follows=None if before is None else before.identity,
            configuration=self.ground.config.model_dump_json(),
        )

    @contextmanager
    def _scheduler(self, one: Pass, run: Run) -> Iterator[Scheduler]:
        ground, config = self.ground, self.ground.config
        now = self.clock()
        chosen = ground.chosen(one)
        self.say(f"{run.name}: {len(chosen)} sources, against {one.base}")
        rules = configured(config.architecture_rules, config.blacklist)
        take_in(self.database, run.identity, config.suite, config.architectures, ground.archive,
                ground.of_run(run.name), now, chosen=chosen, rules=rules)  # fmt: skip
        lanes = [Lane(config.suite, a, a) for a in config.architectures]
        lanes.append(Lane(config.suite, "all", ground.native))
        gates = {lane: self._planned(one, run, lane, chosen) for lane in lanes}
        schedule = config.schedule
        universe = _Universe(ground, one.base, self.clock)
        installable = Installable(self.database, run, ground.archive.sources, universe, config.work / "dose",
                                  frozenset(config.toolchain.build_profiles))  # fmt: skip
        taking = Taking(ground, run, universe)
        trigger = RepositoryTrigger(
            self.database, run, gates, publish=lambda _: universe.refresh(), check=installable.check,
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
                self.database, run, lanes, executor, SystemClock(),
                Seams(orders, taking.judge, taking.accept, trigger), settings,
            ) as scheduler,
        ):  # fmt: skip
            yield scheduler

    def _planned(self, one: Pass, run: Run, lane: Lane, chosen: set[str]) -> Gate:
        ground, config = self.ground, self.ground.config
        sources = [source for name, source in ground.archive.sources.items() if name in chosen]
        last = self.database.last_builds(lane.architecture)
        expected = {
            source.name: Expected(known.seconds, known.memory_bytes, known.disk_bytes)
            if (known := last.get(source.name)) is not None
            else Expected(DEFAULT_SECONDS, DEFAULT_MEMORY, DEFAULT_DISK)
            for source in sources
        }
        earlier = {one.source for one in ground.built(lane.machine, now=self.clock())} if one.base != Base.OLD else ()
        dropped = [tuple(text.split(":", 1)) for text in config.cycles.drop]
        plan = plan_pass(
            sources,
            ground.old_binaries(lane.machine),
            architecture=lane.machine,
            base=one.base if config.schedule.follow else Base.OLD,
            seconds={name: known.seconds for name, known in expected.items()},
            earlier=earlier,
            dropped=[(a, b) for a, b in dropped],
            borrow=config.cycles.old_binaries,
            profiles=frozenset(config.toolchain.build_profiles),
        )
        place = (run.identity, lane.suite, lane.architecture)
        self.database.set_expected(*place, expected)
        self.database.set_paths(*place, plan.remaining)
        return Gate(plan.graph, one.base if config.schedule.follow else Base.OLD)

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


class _Universe:
    """What builds of a pass may install, by architecture; read anew after each look at the repository."""

    def __init__(self, ground: Ground, base: Base, clock: Callable[[], float]) -> None:
        self._ground, self._base, self._clock = ground, base, clock
        self._known: dict[str, list[BinaryPackage]] = {}
        self._tools: dict[str, list[BinaryPackage]] = {}  # of the old archive, which stays as it is

    def refresh(self) -> None:
        self._ground.repository.update(self._ground.config.suite)
        self._known.clear()

    def __call__(self, architecture: str) -> list[BinaryPackage]:
        if architecture not in self._known:
            ground = self._ground
            old = ground.old_binaries(architecture)
            if architecture not in self._tools:
                self._tools[architecture] = build_tools(old, architecture)
            built = [] if self._base == Base.OLD else ground.built(architecture, now=self._clock())
            self._known[architecture] = offered(
                self._base, old, built, local=ground.archive.local.binaries.values(),
                overlay=self._tools[architecture],
            )  # fmt: skip
        return self._known[architecture]


def _limits(schedule: Schedule) -> Limits:
    usual = Limits(longest_delay_seconds=schedule.longest_delay_seconds, alone=schedule.alone)
    return replace(
        usual,
        tries={**usual.tries, **schedule.tries},
        delay_seconds={**usual.delay_seconds, **schedule.delay_seconds},
    )


def _counted(states: dict[State, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "nothing to do"
