"""What follows from the end of an attempt: again, later, alone, or the last word. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from image_builder.archive.model import Outcome
from image_builder.archive.requests import Action
from image_builder.archive.states import Cause

HOUR = 3600.0
CAUSES = {
    Outcome.TIMEOUT: Cause.TIMEOUT,
    Outcome.CHROOT_PROBLEM: Cause.CHROOT_PROBLEM,
    Outcome.BUILDER_FAULT: Cause.BUILDER_FAULT,
}


@dataclass(frozen=True)
class Limits:
    """How often a package is tried again after each outcome, and how long afterwards at the earliest.

    tries: attempts that may end so before that is the last word; those not named: 1. delay_seconds: after the first;
    it doubles with each further one up to longest_delay_seconds. alone: whether a failure is tried again with nothing
    else on the machine before it is called one.
    """

    tries: Mapping[Outcome, int] = field(
        default_factory=lambda: {
            Outcome.DEP_WAIT: 4,
            Outcome.CHROOT_PROBLEM: 4,
            Outcome.GIVE_BACK: 4,
            Outcome.BUILDER_FAULT: 5,
        }
    )
    delay_seconds: Mapping[Outcome, float] = field(
        default_factory=lambda: {
            Outcome.CHROOT_PROBLEM: 900.0,
            Outcome.GIVE_BACK: 900.0,
            Outcome.BUILDER_FAULT: 60.0,
        }
    )
    longest_delay_seconds: float = 8 * HOUR
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that is over, as far as the next decision asks."""

    outcome: Outcome
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What is asked of the database."""

    action: Action
    cause: Cause = Cause.NONE
    message: str = ""
    delay_seconds: float = 0.0


# The package may be at fault, the neighbours on the machine too: an answer only the attempt alone can give.
DOUBTFUL = frozenset({Outcome.ATTEMPTED, Outcome.TIMEOUT})


def decide(outcome: Outcome, cause: str, before: Sequence[Tried], this_alone: bool, limits: Limits) -> Move:
    """Say what happens to a package after an attempt.

    cause: in words; of DEP_WAIT the dependency. before: earlier attempts at the same version, oldest first.
    """
    if outcome is Outcome.SUCCEEDED:
        return Move(Action.BUILT)
    if outcome is Outcome.CANCELLED:
        # Whoever cancels a package tells the database, and the attempt is void then. This one was wanted: its machine
        # was stopped.
        return Move(Action.GIVE_BACK, Cause.NONE, cause)
    ended_so = 1 + sum(one.outcome is outcome for one in before)
    if outcome in DOUBTFUL and limits.alone and not this_alone and not any(_judged_alone(one) for one in before):
        return Move(Action.GIVE_BACK, CAUSES.get(outcome, Cause.NONE), f"{cause}; tried again alone")
    if ended_so >= limits.tries.get(outcome, 1):
        if outcome is Outcome.ATTEMPTED or limits.tries.get(outcome, 1) <= 1:
            return Move(Action.ATTEMPTED, CAUSES.get(outcome, Cause.NONE), cause)
        return Move(Action.ATTEMPTED, CAUSES.get(outcome, Cause.RETRIES), f"{cause}; the last of {ended_so} attempts")
    if outcome is Outcome.DEP_WAIT:
        return Move(Action.DEP_WAIT, Cause.NONE, cause)
    delay = limits.delay_seconds.get(outcome, 0.0) * 2 ** (ended_so - 1)
    return Move(Action.GIVE_BACK, CAUSES.get(outcome, Cause.NONE), cause, min(delay, limits.longest_delay_seconds))


def next_alone(before: Sequence[Tried], limits: Limits) -> bool:
    """Whether the next attempt is to have its machine for itself: it failed, or machines could not bear it twice."""
    faults = sum(one.outcome is Outcome.BUILDER_FAULT for one in before)
    return limits.alone and (faults >= 2 or any(one.outcome in DOUBTFUL for one in before))


def _judged_alone(one: Tried) -> bool:
    return one.alone and one.outcome in DOUBTFUL
