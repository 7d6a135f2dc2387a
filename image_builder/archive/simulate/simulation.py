"""A whole pass in simulated time: the rows, the scheduler and the repository's trigger are the real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from image_builder.archive.database.records import Expected, Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import INSTALLABLE, Found, Status, Verdict
from image_builder.archive.model import Attempt, Base, SourcePackage
from image_builder.archive.order import impossible
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.passes import PlannedPass
from image_builder.archive.schedule.scheduler import Scheduler
from image_builder.archive.schedule.seams import Lane, Seams, Settings, by_exit, reference
from image_builder.archive.schedule.trigger import RepositoryTrigger
from image_builder.archive.simulate.bound import Bound, lower_bound
from image_builder.archive.simulate.machines import SimulatedClock, SimulatedExecutor, Work
from image_builder.archive.simulate.nature import Nature
from image_builder.archive.states import State
from image_builder.jobs.interface import Finished, Job

SUITE = "simulated"
# In one of these a package ends: built, failed, or what it needs was not.
ACCEPTED = frozenset({State.INSTALLED, State.BUILD_ATTEMPTED, State.FAILED, State.BD_UNINSTALLABLE})


@dataclass
class Repository:
    """What the results came to. taken: source -> attempts whose results were taken in."""

    taken: dict[str, set[int]] = field(default_factory=dict)
    triggers: int = 0

    def accept(self, attempt: Attempt, finished: Finished) -> None:
        """May come twice for one attempt."""
        assert finished.reference == reference(attempt)
        self.taken.setdefault(attempt.key.source, set()).add(attempt.identity)

    def publish(self, now: float) -> None:  # noqa: ARG002
        self.triggers += 1


@dataclass(frozen=True)
class Summary:
    """What a simulated pass came to. seconds: simulated, from its start to the last result taken in."""

    seconds: float
    bound: Bound
    work: Work
    states: Mapping[State, int]
    attempts: int
    triggers: int
    wrong: Sequence[str]  # packages that ended in no accepted state, or not exactly once

    @property
    def ratio(self) -> float:
        """Of the time it took to the least time possible."""
        return self.seconds / self.bound.seconds if self.bound.seconds else 1.0


class Simulation:
    """One pass over these sources, on machines that keep their state while schedulers come and go."""

    def __init__(
        self,
        database: Database,
        sources: Sequence[SourcePackage],
        plan: PlannedPass,
        nature: Nature,
        *,
        machines: int = 50,
        slots_each: int = 2,
        architecture: str = "amd64",
        settings: Settings | None = None,
        rebuild: str = "simulation",
        stage: int = 1,
    ) -> None:
        self.database, self.plan, self.nature = database, plan, nature
        self.settings = settings or Settings(void_seconds=300.0)
        self.slots = machines * slots_each
        self.clock = SimulatedClock()
        self.executor = SimulatedExecutor(
            self.clock, nature, machines=machines, slots_each=slots_each, architecture=architecture
        )
        self.repository = Repository()
        self.began = self.clock.now()
        self.last = self.began
        self.lane = Lane(SUITE, architecture, architecture)
        self._never = impossible(plan.graph)
        self.run: Run = database.add_run(rebuild, stage, plan.base, self.began)
        self._fill(sources)

    def _fill(self, sources: Sequence[SourcePackage]) -> None:
        run, now = self.run.identity, self.clock.now()
        found = [Found(one.name, one.version, Status.UNCOMPILED, None, one.section, one.priority, one.component)
                 for one in sources]  # fmt: skip
        place = (run, self.lane.suite, self.lane.architecture)
        self.database.merge(*place, found, now)
        self.database.set_paths(*place, self.plan.remaining)
        fates = {one.name: Expected(self.nature.fate(one.name).expected_seconds, 1 << 30, 1 << 32) for one in sources}
        self.database.set_expected(*place, fates)

    def scheduler(self) -> Scheduler:
        """A new one, as after a start of the program: it knows nothing but the database and the machines."""
        gate = Gate(self.plan.graph, self.plan.base)
        trigger = RepositoryTrigger(
            self.database,
            self.run,
            {self.lane: gate},
            publish=self.repository.publish,
            check=self._check,
            waits=lambda lane: {},  # noqa: ARG005
        )
        seams = Seams(self._order, lambda attempt, finished: by_exit(finished), self._accept, trigger)  # noqa: ARG005
        return Scheduler(self.database, self.run, [self.lane], self.executor, self.clock, seams, self.settings)

    def go(self, scheduler: Scheduler, *, until: float | None = None) -> bool:
        """Step until the end, or until that much simulated time has passed since the beginning; True at the end."""
        while scheduler.step(self.settings.trigger_seconds):
            if until is not None and self.clock.now() - self.began >= until:
                return False
        return True

    def _order(self, attempt: Attempt, *, alone: bool) -> Job:
        key = attempt.key
        name = f"{key.source} {attempt.version} {key.architecture}"
        return Job(
            reference(attempt), name, self.lane.machine, (key.source,), {}, attempt.memory_bytes, attempt.disk_bytes,
            attempt.time_limit_seconds, alone=alone,
        )  # fmt: skip

    def _accept(self, attempt: Attempt, finished: Finished) -> None:
        self.repository.accept(attempt, finished)
        self.last = self.clock.now()

    def _check(self, lane: Lane, asked: Collection[str] | None) -> Mapping[str, Verdict]:  # noqa: ARG002
        names = self.plan.graph.sources if asked is None else asked
        return {name: Verdict(f"needs {self._never[name]}") if name in self._never else INSTALLABLE for name in names}

    def summary(self) -> Summary:
        """Look at what is in the database when all is over."""
        rows = self.database.packages(self.run.identity)
        wrong = [f"{row.key.source} is {row.state}" for row in rows if row.state not in ACCEPTED]
        for row in rows:
            times = len(self.repository.taken.get(row.key.source, ()))
            if times != (row.state is State.INSTALLED):
                wrong.append(f"{row.key.source} is {row.state}, its results were taken {times} times")
            if (
                row.state is State.BD_UNINSTALLABLE
                and self.plan.base is Base.BOTH
                and row.key.source not in self._never
            ):
                wrong.append(f"{row.key.source} is {row.state} for no reason: {row.bd_problem}")
        wrong += [f"{one.attempt.key.source} is still out" for one in self.database.live_attempts(self.run.identity)]
        work = self.executor.work
        bound = lower_bound(self.plan.graph, work.own_seconds, work.slot_seconds, self.slots)
        return Summary(
            self.last - self.began, bound, work, Counter(row.state for row in rows), work.attempts,
            self.repository.triggers, wrong,
        )  # fmt: skip
