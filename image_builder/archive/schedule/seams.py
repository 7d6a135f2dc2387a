"""What the scheduler is given: how a build is ordered, judged and taken in, and how the repository follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from image_builder.archive.model import Attempt, Outcome
from image_builder.archive.priority import Order, Weights
from image_builder.archive.schedule.policy import Limits
from image_builder.jobs.interface import Exit, Finished, Job


@dataclass(frozen=True, slots=True)
class Judged:
    """What an attempt came to. cause: in words; of DEP_WAIT the dependency. log: where the whole log is kept."""

    outcome: Outcome
    cause: str = ""
    log: str = ""


class Orders(Protocol):
    """Turns an attempt into a job."""

    def __call__(self, attempt: Attempt, *, alone: bool) -> Job:
        """The job's reference is reference(attempt)."""


class Judge(Protocol):
    """Reads what a job left."""

    def __call__(self, attempt: Attempt, finished: Finished) -> Judged:
        """Takes nothing in: the attempt may turn out to be void."""


class Accept(Protocol):
    """Puts the results of a success where they belong."""

    def __call__(self, attempt: Attempt, finished: Finished) -> None:
        """May be called twice for one attempt. Raises PipelineError for what is not what was asked for, which the
        machine is blamed for; SurroundingsError where it cannot be taken in now."""


class Trigger(Protocol):
    """Brings repository, states and installability up to date."""

    def __call__(self, now: float) -> int:
        """Return how many packages came to be ready to be built."""


@dataclass(frozen=True)
class Seams:
    """All of them."""

    orders: Orders
    judge: Judge
    accept: Accept
    trigger: Trigger


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """A part of a run with a queue of its own. machine: the architecture of who builds it, of "all" too."""

    suite: str
    architecture: str
    machine: str


@dataclass(frozen=True)
class Settings:
    """How a run is driven. Times in seconds.

    ahead: jobs handed out beyond what can start at once; few, since those no longer follow the order.
    trigger: how often repository and installability are looked at; trigger_least: sooner than trigger, but not more
    often than this, when machines stand idle and something has changed. void: how soon a job ends whose package was
    cancelled.
    """

    order: Order = Order.PATH
    weights: Weights = field(default_factory=Weights)
    limits: Limits = field(default_factory=Limits)
    ahead: int = 0
    lease_seconds: float = 900.0
    time_limit_seconds: float = 18 * 3600.0
    trigger_seconds: float = 900.0
    trigger_least_seconds: float = 60.0
    claim_seconds: float = 300.0
    void_seconds: float = 10.0


def reference(attempt: Attempt) -> str:
    """What an executor knows the attempt by."""
    return f"{attempt.identity}-{attempt.token}"


OUTCOMES: Mapping[Exit, Outcome] = {
    Exit.TIMEOUT: Outcome.TIMEOUT,
    Exit.CANCELLED: Outcome.CANCELLED,
    Exit.OUT_OF_MEMORY: Outcome.BUILDER_FAULT,
    Exit.DISK_FULL: Outcome.BUILDER_FAULT,
    Exit.LOST: Outcome.BUILDER_FAULT,
    Exit.NOT_STARTED: Outcome.BUILDER_FAULT,
}


def by_exit(finished: Finished) -> Judged:
    """What the way it ended says alone: sbuild's statuses where the command came to its end."""
    if finished.exit is not Exit.ENDED:
        return Judged(OUTCOMES[finished.exit], finished.reason or str(finished.exit))
    if finished.exit_status == 0:
        return Judged(Outcome.SUCCEEDED)
    if finished.exit_status == 2:
        return Judged(Outcome.ATTEMPTED, "the build failed")
    return Judged(Outcome.GIVE_BACK, f"the builder ended with status {finished.exit_status}")
