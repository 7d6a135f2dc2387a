from __future__ import annotations

import pytest

from image_builder.archive.model import Outcome
from image_builder.archive.requests import Action
from image_builder.archive.schedule.policy import Limits, Move, Tried, decide, next_alone
from image_builder.archive.states import Cause

LIMITS = Limits()


def again(outcome: Outcome, times: int, *, alone: bool = False, limits: Limits = LIMITS) -> list[Action]:
    """The moves when every attempt ends so."""
    before: list[Tried] = []
    found = []
    for _ in range(times):
        is_alone = next_alone(before, limits)
        found.append(decide(outcome, "why", before, is_alone or alone, limits).action)
        before.append(Tried(outcome, is_alone or alone))
    return found


def test_success_is_built() -> None:
    assert decide(Outcome.SUCCEEDED, "", [], False, LIMITS) == Move(Action.BUILT)


@pytest.mark.parametrize("outcome", [Outcome.ATTEMPTED, Outcome.TIMEOUT])
def test_a_failure_is_tried_alone_before_it_is_called_one(outcome: Outcome) -> None:
    assert again(outcome, 2) == [Action.GIVE_BACK, Action.ATTEMPTED]
    assert decide(outcome, "tests failed", [], False, LIMITS).message == "tests failed; tried again alone"
    assert again(outcome, 1, limits=Limits(alone=False)) == [Action.ATTEMPTED]
    assert again(outcome, 1, alone=True) == [Action.ATTEMPTED]  # it was alone already


def test_the_next_attempt_is_alone_after_a_failure_and_only_then() -> None:
    assert next_alone([Tried(Outcome.ATTEMPTED)], LIMITS)
    assert next_alone([Tried(Outcome.ATTEMPTED), Tried(Outcome.BUILDER_FAULT, alone=True)], LIMITS)
    assert not next_alone([Tried(Outcome.BUILDER_FAULT), Tried(Outcome.GIVE_BACK)], LIMITS)
    assert not next_alone([Tried(Outcome.ATTEMPTED)], Limits(alone=False))


def test_what_machines_could_not_bear_twice_gets_one_for_itself() -> None:
    assert not next_alone([Tried(Outcome.BUILDER_FAULT)], LIMITS)
    assert next_alone([Tried(Outcome.BUILDER_FAULT)] * 2, LIMITS)


def test_a_lonely_attempt_that_the_machine_spoilt_does_not_count_as_the_second_opinion() -> None:
    before = [Tried(Outcome.ATTEMPTED), Tried(Outcome.BUILDER_FAULT, alone=True)]
    assert decide(Outcome.ATTEMPTED, "why", before, True, LIMITS).action is Action.ATTEMPTED
    assert decide(Outcome.ATTEMPTED, "why", before, False, LIMITS).action is Action.GIVE_BACK


@pytest.mark.parametrize(
    ("outcome", "tries", "cause"),
    [
        (Outcome.GIVE_BACK, 4, Cause.RETRIES),
        (Outcome.BUILDER_FAULT, 5, Cause.BUILDER_FAULT),
        (Outcome.CHROOT_PROBLEM, 4, Cause.CHROOT_PROBLEM),
    ],
)
def test_retries_are_bounded_for_each_outcome(outcome: Outcome, tries: int, cause: Cause) -> None:
    assert again(outcome, tries) == [Action.GIVE_BACK] * (tries - 1) + [Action.ATTEMPTED]
    last = decide(outcome, "why", [Tried(outcome)] * (tries - 1), False, LIMITS)
    assert (last.cause, last.message) == (cause, f"why; the last of {tries} attempts")


def test_a_dependency_that_is_missing_is_waited_for_but_not_for_ever() -> None:
    found = decide(Outcome.DEP_WAIT, "libfoo-dev (>= 2)", [], False, LIMITS)
    assert found == Move(Action.DEP_WAIT, message="libfoo-dev (>= 2)")
    assert again(Outcome.DEP_WAIT, 4) == [Action.DEP_WAIT] * 3 + [Action.ATTEMPTED]


def test_other_outcomes_do_not_use_up_the_retries() -> None:
    before = [Tried(Outcome.BUILDER_FAULT)] * 3 + [Tried(Outcome.DEP_WAIT)] * 2
    assert decide(Outcome.GIVE_BACK, "why", before, False, LIMITS).action is Action.GIVE_BACK


def test_delays_double_up_to_a_bound() -> None:
    limits = Limits(
        tries={Outcome.GIVE_BACK: 99}, delay_seconds={Outcome.GIVE_BACK: 900.0}, longest_delay_seconds=4000.0
    )
    delays = [
        decide(Outcome.GIVE_BACK, "", [Tried(Outcome.GIVE_BACK)] * n, False, limits).delay_seconds for n in range(5)
    ]
    assert delays == [900.0, 1800.0, 3600.0, 4000.0, 4000.0]


def test_a_build_that_was_stopped_with_its_machine_is_begun_again_and_counts_for_nothing() -> None:
    assert again(Outcome.CANCELLED, 20) == [Action.GIVE_BACK] * 20
    assert not next_alone([Tried(Outcome.CANCELLED)] * 5, LIMITS)
