"""The time as a scheduler is given it."""

from __future__ import annotations

import time

from image_builder.archive.schedule.clock import Forward, SystemClock


class Steps:
    """A clock that says what it was told to, one after the other."""

    def __init__(self, *said: float) -> None:
        self._said = iter(said)

    def now(self) -> float:
        return next(self._said)


def test_a_clock_that_goes_back_stands_still() -> None:
    clock = Forward(Steps(10.0, 7.0, 9.0, 12.0))
    assert [clock.now() for _ in range(4)] == [10.0, 10.0, 10.0, 12.0]


def test_the_machines_clock() -> None:
    before = time.time()
    clock = SystemClock()
    said = [clock.now() for _ in range(3)]
    assert before <= said[0] <= said[1] <= said[2] <= time.time() + 1


def test_one_that_was_set_back_goes_on_from_what_was_seen() -> None:
    seen = time.time() + 86_400.0
    clock = SystemClock(seen)
    first = clock.now()
    assert first >= seen
    time.sleep(0.01)
    assert seen + 1 > clock.now() > first
