"""Simulated machines behind the executor's interface, and the clock that runs as fast as they need it to."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from image_builder.archive.model import Outcome
from image_builder.archive.simulate.nature import Nature
from image_builder.jobs.interface import Capacity, Event, Exit, Finished, Heartbeat, Job, Reconciled, Started

SPOILT_SECONDS = 60.0  # until a sick machine has spoilt a build
HEARTBEAT_SECONDS = 300.0
# Status of the command, by what it stands for: sbuild's.
STATUS = {Outcome.SUCCEEDED: 0, Outcome.ATTEMPTED: 2, Outcome.GIVE_BACK: 3}


class SimulatedClock:
    """Stands still until somebody waits."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start

    def now(self) -> float:
        """POSIX seconds."""
        return self.time


@dataclass
class Machine:
    """slots: builds at once. away_until, sick_until, rests_until: POSIX seconds."""

    name: str
    slots: int
    running: dict[str, Running] = field(default_factory=dict)
    away_until: float = 0.0
    sick_until: float = 0.0
    rests_until: float = 0.0
    kept_free: bool = False  # for a job that wants it alone

    def takes(self, now: float) -> bool:
        return now >= self.away_until and now >= self.rests_until

    @property
    def free(self) -> int:
        if any(one.job.alone for one in self.running.values()):
            return 0
        return self.slots - len(self.running)


@dataclass
class Running:
    """A job on a machine."""

    job: Job
    machine: Machine
    began: float
    outcome: Outcome
    gone: bool = False  # with its machine; whoever handed it out has not been told


@dataclass
class Work:
    """What the machines did. Slot seconds: seconds times the slots taken; one alone takes all of its machine's."""

    slot_seconds: float = 0.0
    own_seconds: dict[str, float] = field(default_factory=dict)  # source -> seconds of all attempts, one after another
    attempts: int = 0
    vanished: int = 0  # times a machine went away
    lost: int = 0  # attempts that went with one
    late: int = 0  # results delivered for attempts that had been given up
    twice: int = 0  # results delivered once more
    most_handed_out: int = 0


class SimulatedExecutor:
    """An Executor whose machines do nothing but let time pass.

    Of a job's command only the first word counts: the source. tick_seconds: events closer together than this come
    together, as they would from a poll.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        nature: Nature,
        *,
        machines: int,
        slots_each: int,
        architecture: str,
        tick_seconds: float = 5.0,
    ) -> None:
        self.clock, self.nature, self.architecture, self.tick = clock, nature, architecture, tick_seconds
        self.machines = [Machine(f"m{number:03}", slots_each) for number in range(machines)]
        self.work = Work()
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, Running] = {}
        self._finished: dict[str, Finished] = {}  # told again after a restart, until forgotten
        self._undisturbed: dict[str, int] = {}  # source -> attempts that ended by themselves
        self._number = itertools.count()
        self._due: list[tuple[float, int, str, str]] = []  # time, number, what, of whom
        self._told: list[Event] = []
        self._chance = nature.random("machines")
        for machine in self.machines:
            self._draw("vanish", machine.name, nature.chances.vanish_seconds)
            self._draw("sick", machine.name, nature.chances.sick_seconds)
        self._at(clock.now() + HEARTBEAT_SECONDS, "beat", "")

    # What the interface asks for

    def submit(self, job: Job) -> None:
        """Accept a job."""
        if job.reference not in self._waiting and job.reference not in self._running:
            self._waiting[job.reference] = job
            self.work.most_handed_out = max(self.work.most_handed_out, len(self._waiting) + len(self._running))
            self._place()

    def cancel(self, reference: str) -> None:
        """End a job."""
        job = self._waiting.pop(reference, None)
        running = self._running.get(reference)
        if job is not None:
            self._tell(Finished(reference, Exit.CANCELLED, None, "", self.clock.now(), 0.0, 0, 0))
        elif running is not None and running.gone:
            del self._running[reference]
        elif running is not None:
            self._end(running, Exit.CANCELLED, None)
            self._place()

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """Let time pass until something happens, at most so long."""
        until = self.clock.now() + timeout_seconds
        while not self._told and self._due and self._due[0][0] <= until:
            # All that happens within a tick is told at its end.
            end = min(self._due[0][0] + self.tick, until)
            while self._due and self._due[0][0] <= end:
                at, _, what, whom = heapq.heappop(self._due)
                self.clock.time = max(self.clock.time, at)
                self._happens(what, whom)
            self._place()
        if not self._told:
            self.clock.time = max(self.clock.time, until)
        told, self._told = self._told, []
        return told

    def rest(self, worker: str, seconds: float) -> None:
        """Give a machine nothing new for so long."""
        machine = self._machine(worker)
        machine.rests_until = self.clock.now() + seconds
        self._at(machine.rests_until, "back", worker)

    def forget(self, reference: str) -> None:
        """Its results have been dealt with."""
        self._finished.pop(reference, None)

    def reconcile(self, believed: Collection[str]) -> Reconciled:
        """End what nobody believes in; say how the rest stands."""
        self._told = []
        for reference in [*self._waiting, *self._running]:
            if reference not in believed:
                self.cancel(reference)
        for reference in [*self._finished]:
            if reference not in believed:
                self.forget(reference)
        self._told = list(self._finished.values())
        running = frozenset(r for r in believed if r in self._waiting or r in self._running)
        finished = frozenset(self._finished)
        return Reconciled(running, finished, frozenset(believed) - running - finished)

    def capacity(self) -> Mapping[str, Capacity]:
        """Slots that can be used now."""
        now = self.clock.now()
        up = [machine for machine in self.machines if machine.takes(now)]
        shared = sum(not job.alone for job in self._waiting.values())
        free = sum(machine.free for machine in up if not machine.kept_free) - shared
        slots = sum(machine.slots for machine in up)
        return {self.architecture: Capacity(slots, max(0, free), len(self._waiting))}

    # How it is done

    def _place(self) -> None:
        """Start what waits. One that wants a machine alone gets the one that is emptied soonest."""
        now = self.clock.now()
        up = [machine for machine in self.machines if machine.takes(now)]
        for machine in self.machines:
            machine.kept_free = False
        for job in [job for job in self._waiting.values() if job.alone]:
            choice = [machine for machine in up if not machine.kept_free]
            best = min(choice, key=lambda machine: (machine.slots - machine.free, machine.name), default=None)
            if best is None:
                break
            best.kept_free = True
            if not best.running:
                self._start(job, best)
        for job in [job for job in self._waiting.values() if not job.alone]:
            # The fullest first, so that whole machines become empty.
            room = [machine for machine in up if machine.free and not machine.kept_free]
            if not room:
                return
            self._start(job, min(room, key=lambda machine: (machine.free, machine.name)))

    def _start(self, job: Job, machine: Machine) -> None:
        now = self.clock.now()
        del self._waiting[job.reference]
        source = job.command[0]
        fate = self.nature.fate(source)
        if now < machine.sick_until:
            outcome, seconds = Outcome.GIVE_BACK, SPOILT_SECONDS
        else:
            outcome = fate.outcome(self._undisturbed.get(source, 0), job.alone)
            seconds = fate.seconds * fate.share(outcome)
            self._undisturbed[source] = self._undisturbed.get(source, 0) + 1
        running = Running(job, machine, now, outcome)
        machine.running[job.reference] = running
        self._running[job.reference] = running
        self.work.attempts += 1
        self._told.append(Started(job.reference, machine.name, now))
        self._at(now + seconds, "end", job.reference)

    def _end(self, running: Running, exit: Exit, status: int | None, *, tell: bool = True) -> None:
        now, job, machine = self.clock.now(), running.job, running.machine
        seconds = now - running.began
        slots = machine.slots if job.alone else 1
        self.work.slot_seconds += seconds * slots
        source = job.command[0]
        self.work.own_seconds[source] = self.work.own_seconds.get(source, 0.0) + seconds
        self._running.pop(job.reference)
        machine.running.pop(job.reference, None)
        if tell:
            self._tell(Finished(job.reference, exit, status, machine.name, now, seconds, 1 << 28, 1 << 28))

    def _tell(self, finished: Finished) -> None:
        self._finished[finished.reference] = finished
        self._told.append(finished)

    def _happens(self, what: str, whom: str) -> None:
        if what == "end":
            running = self._running.get(whom)
            if running is not None and not running.gone:
                self._end(running, Exit.ENDED, STATUS[running.outcome])
                if self._chance.random() < self.nature.chances.twice:  # over a bad line: said twice
                    self._told.append(self._told[-1])
                    self.work.twice += 1
        elif what == "beat":
            self._at(self.clock.now() + HEARTBEAT_SECONDS, "beat", "")
            alive = (*self._waiting, *(r for r, one in self._running.items() if not one.gone))
            self._told += [Heartbeat(reference, self.clock.now(), 0, 0) for reference in alive]
        elif what == "vanish":
            self._draw("vanish", whom, self.nature.chances.vanish_seconds)
            self._vanish(self._machine(whom))
        elif what == "sick":
            self._draw("sick", whom, self.nature.chances.sick_seconds)
            self._machine(whom).sick_until = self.clock.now() + self.nature.chances.sick_for_seconds
        elif what == "late":
            self.work.late += 1
            self._tell(Finished(whom, Exit.ENDED, 0, "late", self.clock.now(), 1.0, 0, 0))

    def _vanish(self, machine: Machine) -> None:
        self.work.vanished += 1
        machine.away_until = self.clock.now() + self.nature.chances.away_seconds
        self._at(machine.away_until, "back", machine.name)
        silent = self._chance.random() < 0.5
        for reference, running in list(machine.running.items()):
            self.work.lost += 1
            del machine.running[reference]
            if not silent:
                self._end(running, Exit.LOST, None)
                continue
            # Nobody notices before the lease ends; what it did until then was done.
            self._end(running, Exit.LOST, None, tell=False)
            self._running[reference] = running
            running.gone = True
            if self._chance.random() < 0.5:
                self._at(machine.away_until, "late", reference)

    def _machine(self, name: str) -> Machine:
        return next(machine for machine in self.machines if machine.name == name)

    def _draw(self, what: str, whom: str, mean_seconds: float) -> None:
        if mean_seconds:
            self._at(self.clock.now() + self._chance.expovariate(1 / mean_seconds), what, whom)

    def _at(self, time: float, what: str, whom: str) -> None:
        heapq.heappush(self._due, (time, next(self._number), what, whom))

    def references(self) -> Iterator[str]:
        """All that is with the machines, lost ones included."""
        yield from (*self._waiting, *self._running)
