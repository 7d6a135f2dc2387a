"""What every kind of executor offers: take a job, tell what becomes of it, end it, agree with us after a restart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """One try at one piece of work. An executor knows no more of it than this."""

    reference: str  # chosen by who submits; what all later words about the job name it by; a file name
    name: str  # for people: "hello 2.10-3 amd64"
    architecture: str  # of the machine it has to run on
    command: tuple[str, ...]  # runs in an empty folder of its own; what it leaves there are the artefacts
    environment: Mapping[str, str]
    memory_bytes: int  # expected need; what the budget of a machine is charged with
    disk_bytes: int
    time_limit_seconds: float
    memory_limit_bytes: int | None = None  # all its processes together; ended when they need more
    alone: bool = False  # nothing else may run on its machine


class Exit(StrEnum):
    """How the command of a job ended."""

    ENDED = "ended"  # by itself: look at its exit status
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    LOST = "lost"  # the machine, or what watched the job on it, went away
    NOT_STARTED = "not started"  # the machine could not start it


@dataclass(frozen=True, slots=True)
class Started:
    """A machine has begun."""

    reference: str
    worker: str
    at: float  # POSIX seconds


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """It still runs."""

    reference: str
    at: float
    memory_bytes: int  # most that was seen so far
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing of it runs any more, and its artefacts lie still until it is forgotten."""

    reference: str
    exit: Exit
    exit_status: int | None  # of the command; None if it was not there to the end; 128+N for signal N
    worker: str
    at: float
    seconds: float
    memory_bytes: int  # largest use; 0 if nobody could look
    disk_bytes: int
    folder: str = ""  # where the artefacts are; "" if there are none
    artifacts: tuple[str, ...] = ()  # paths relative to it, sorted
    reason: str = ""  # for people, where the exit says too little


Event = Started | Heartbeat | Finished


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machines of one architecture can do."""

    slots: int  # jobs that may run at once
    free: int  # that could start now
    queued: int = 0  # accepted, waiting for a machine


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What an executor says of the jobs somebody believes to be out."""

    running: frozenset[str]  # accepted and not finished: events will follow
    finished: frozenset[str]  # events() hands out their Finished (again)
    unknown: frozenset[str]  # never heard of, or gone without a trace


class Executor(Protocol):
    """Machines that do jobs. All calls are made by one thread of one process at a time."""

    def submit(self, job: Job) -> None:
        """Accept a job. The same reference twice is the same job: it is not run twice.

        Raises SurroundingsError when it cannot be accepted now; then it is not.
        """

    def cancel(self, reference: str) -> None:
        """End a job. A Finished follows, CANCELLED unless it had finished before; unknown references are none."""

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What has happened since the last call, in order; waits at most so long for the first.

        A Finished is handed out again by every process that asks, until it is forgotten.
        """

    def rest(self, worker: str, seconds: float) -> None:
        """Give a machine nothing new for so long: something is wrong with it."""

    def forget(self, reference: str) -> None:
        """The result of a finished job has been dealt with: its folder may go."""

    def reconcile(self, believed: Collection[str]) -> Reconciled:
        """At the start, and whenever in doubt: end everything that is not believed, say how the rest stands."""

    def capacity(self) -> Mapping[str, Capacity]:
        """By architecture."""
