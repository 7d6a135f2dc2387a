"""What a change of state clears and keeps."""

from __future__ import annotations

import pytest
from package_rows import package

from image_builder.archive.states import NOT_TESTED, Cause, State, binary_nmu_version, change, is_version

NOW = 200.0


@pytest.mark.parametrize("state", State)
def test_no_change_is_no_change(state: State) -> None:
    row = package(state)
    assert change(row, state, NOW) is row


@pytest.mark.parametrize(("before", "after"), [(a, b) for a in State for b in State if a is not b])
def test_every_change_says_whence_and_when(before: State, after: State) -> None:
    moved = change(package(before), after, NOW)
    assert (moved.state, moved.previous_state, moved.state_change) == (after, before, NOW)
    assert (moved.bd_problem == NOT_TESTED) == (after is State.BD_UNINSTALLABLE)
    assert moved.failed == ""


def test_why_it_failed_is_kept_with_its_version_newest_first() -> None:
    row = package(State.FAILED, failed="second", old_failed="first\n")
    old = change(row, State.NEEDS_BUILD, NOW).old_failed
    assert old == "-------------------- 2.10-3 --------------------\nsecond\nfirst\n"


def test_installed_takes_along_what_was_asked_for_this_build() -> None:
    row = package(
        State.UPLOADED, depends="a", extra_depends="b", extra_conflicts="c", priority_once=5, priority_permanent=7
    )
    moved = change(row, State.INSTALLED, NOW)
    assert (moved.depends, moved.extra_depends, moved.extra_conflicts, moved.priority_once) == ("", "", "", 0)
    assert moved.priority_permanent == 7


def test_a_delay_holds_while_a_package_waits_and_no_longer() -> None:
    row = package(State.BD_UNINSTALLABLE, not_before=900.0, cause=Cause.CHROOT_PROBLEM, reason="no mirror")
    queued = change(row, State.NEEDS_BUILD, NOW)
    assert (queued.not_before, queued.cause, queued.reason) == (900.0, Cause.CHROOT_PROBLEM, "no mirror")
    building = change(queued, State.BUILDING, NOW)
    assert (building.not_before, building.cause, building.reason) == (0.0, Cause.NONE, "")


def test_where_nobody_checks_build_dependencies_nothing_is_uninstallable() -> None:
    moved = change(package(State.BUILDING), State.BD_UNINSTALLABLE, NOW, auto_dep_wait=False)
    assert (moved.state, moved.bd_problem) == (State.NEEDS_BUILD, "")


@pytest.mark.parametrize(
    ("version", "number", "full"), [("1.0-1", None, "1.0-1"), ("1.0-1", 0, "1.0-1"), ("1:1.0-1", 3, "1:1.0-1+b3")]
)
def test_version_of_the_binaries(version: str, number: int | None, full: str) -> None:
    assert binary_nmu_version(version, number) == full


@pytest.mark.parametrize(
    ("number", "version", "same"),
    [
        (None, "2.10-3", True),
        (None, "0:2.10-3", True),
        (None, "2.10-3+b1", False),
        (1, "2.10-3", True),
        (1, "2.10-3+b1", True),
        (1, "2.10-3+b2", False),
        (None, "2.10-4", False),
    ],
)
def test_version_with_and_without_number(number: int | None, version: str, same: bool) -> None:
    assert is_version(package(binary_nmu=number), version) is same
