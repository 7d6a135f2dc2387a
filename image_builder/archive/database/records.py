"""What the database hands out besides packages: runs, attempts, and what has happened."""

from __future__ import annotations

from dataclasses import dataclass

from image_builder.archive.model import Attempt, Base, Key, Outcome
from image_builder.archive.requests import Request
from image_builder.archive.states import State


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over the packages of a rebuild."""

    identity: int
    name: str  # "gcc-15 stage 1"
    rebuild: str  # "gcc-15"
    stage: int
    base: Base
    started: float  # POSIX seconds
    finished: float | None
    toolchain: str  # SHA-256 of what makes this rebuild another one; "" for none
    follows: int | None  # the run of the stage before
    auto_dep_wait: bool  # whether build dependencies are checked; False: what is wanted is Needs-Build at once
    configuration: str  # JSON


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt and what became of it."""

    attempt: Attempt
    run: int
    worker: str  # who took the package
    machine: str  # where it was built; "" until the result says so
    started: float  # POSIX seconds, as all of these
    heartbeat: float
    lease_until: float
    alone: bool
    state: str  # "live"; "finished": its result was taken; "void": its token is worth nothing any more
    finished: float | None
    outcome: Outcome | None
    seconds: float
    memory_bytes: int  # what it used; attempt.memory_bytes is what was expected
    disk_bytes: int
    log: str  # path, relative to the results
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a builder says of its attempt."""

    outcome: Outcome
    version: str  # of the binaries, with "+bN"
    seconds: float
    memory_bytes: int = 0
    disk_bytes: int = 0
    log: str = ""
    reason: str = ""
    worker: str = ""  # the machine, where the worker has several


@dataclass(frozen=True, slots=True)
class Start:
    """A package that is to be taken and built."""

    key: Key
    time_limit_seconds: float
    alone: bool = False  # with nothing else on the machine


@dataclass(frozen=True, slots=True)
class Finish:
    """The result of an attempt, and the moves that follow from it."""

    identity: int  # of the attempt
    token: str
    result: Result
    requests: tuple[Request, ...]  # at least one


@dataclass(frozen=True, slots=True)
class Transaction:
    """One move that was made, or one result that was refused."""

    run: int
    key: Key
    version: str
    action: str
    previous_state: State | None
    state: State | None  # None: deleted
    user: str
    real_user: str
    time: float  # POSIX seconds
    override: bool
    message: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One build, of whichever run."""

    source: str
    suite: str
    architecture: str
    version: str
    run: str
    outcome: Outcome
    seconds: float
    memory_bytes: int
    disk_bytes: int
    worker: str
    time: float  # POSIX seconds


@dataclass(frozen=True, slots=True)
class Expected:
    """What the build of a package is expected to take."""

    seconds: float
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Merged:
    """What the importer has changed: numbers of packages."""

    added: int
    changed: int
    removed: int
    untouched: int
