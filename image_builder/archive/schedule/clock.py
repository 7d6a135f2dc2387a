"""The time, as a scheduler is given it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> float:
        """POSIX seconds."""


class SystemClock:
    """The machine's, as it was when this began; from then on the seconds are counted, whoever sets it."""

    def __init__(self, not_before: float = float("-inf")) -> None:
        """not_before: POSIX seconds somebody has seen already; a clock that was set back since goes on from there."""
        self._began = max(time.time(), not_before) - self._counted()

    def now(self) -> float:
        """POSIX seconds, never less than what was said before."""
        return self._began + self._counted()

    @staticmethod
    def _counted() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the machine sleeps


class Forward:
    """A clock that stands still while the one below it is set back, so that no lease is longer than it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._latest = clock, float("-inf")

    def now(self) -> float:
        """POSIX seconds, never less than what was said before."""
        self._latest = max(self._latest, self._clock.now())
        return self._latest
