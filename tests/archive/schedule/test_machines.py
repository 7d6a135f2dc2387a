from __future__ import annotations

from image_builder.archive.model import Outcome
from image_builder.archive.schedule.machines import Machines

FAULT, GOOD, BAD = Outcome.BUILDER_FAULT, Outcome.SUCCEEDED, Outcome.ATTEMPTED


def test_a_machine_that_fails_with_different_packages_in_a_row_rests() -> None:
    machines = Machines(most=3, rest_seconds=100.0)
    assert [machines.saw("m", package, FAULT) for package in ("a", "b", "c")] == [0.0, 0.0, 100.0]


def test_one_package_that_fails_everywhere_makes_no_machine_guilty() -> None:
    machines = Machines(most=3)
    assert [machines.saw("m", "a", FAULT) for _ in range(9)] == [0.0] * 9
    assert machines.faults("m") == 1


def test_what_packages_do_is_not_the_machines_fault() -> None:
    machines = Machines(most=2)
    assert machines.saw("m", "a", FAULT) == 0.0
    assert machines.saw("m", "b", BAD) == 0.0  # it can build: it came as far as the package's own failure
    assert machines.saw("m", "c", FAULT) == 0.0


def test_machines_are_counted_apart() -> None:
    machines = Machines(most=2)
    assert [machines.saw(name, package, FAULT) for name, package in (("m", "a"), ("n", "b"))] == [0.0, 0.0]


def test_after_a_rest_one_more_fault_is_enough_and_rests_grow() -> None:
    machines = Machines(most=2, rest_seconds=10.0)
    for package in "ab":
        rest = machines.saw("m", package, FAULT)
    assert rest == 10.0
    assert [machines.saw("m", "c", FAULT) for _ in range(5)] == [20.0, 40.0, 80.0, 160.0, 160.0]
    assert machines.saw("m", "d", GOOD) == 0.0
    assert [machines.saw("m", package, FAULT) for package in "ef"] == [0.0, 10.0]  # trusted again


def test_nobody_is_blamed_for_what_was_cancelled_or_never_had_a_machine() -> None:
    machines = Machines(most=1)
    assert machines.saw("m", "a", Outcome.CANCELLED) == 0.0
    assert machines.saw("", "a", FAULT) == 0.0
