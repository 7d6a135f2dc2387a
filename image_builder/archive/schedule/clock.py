"""The time, as a scheduler is given it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> float:
        """POSIX seconds."""


class SystemClock:
    """The machine's."""

    def now(self) -> float:
        """POSIX seconds; they go back when somebody sets the clock."""
        return time.time()


class Forward:
    """A clock that stands still while the one below it is set back, so that no lease is longer than it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._latest = clock, float("-inf")

    def now(self) -> float:
        """POSIX seconds, never less than what was said before."""
        self._latest = max(self._latest, self._clock.now())
        return self._latest
