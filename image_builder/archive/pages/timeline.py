"""How many packages were in each state, over time: reckoned back from now, move by move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from image_builder.archive.states import State

STEPS = 240  # moments that are looked at


@dataclass(frozen=True, slots=True)
class Moment:
    """at: POSIX seconds."""

    at: float
    counts: Mapping[State, int]


def timeline(
    moves: Iterable[tuple[float, State | None, State | None]],
    now: Mapping[State, int],
    begin: float,
    steps: int = STEPS,
) -> list[Moment]:
    """Packages by state at equal distances from `begin` to the last move.

    moves: (POSIX seconds, state before, state after) in any order; None: the package was not there. now: the counts
    after all of them. So the end is what the database says, also where somebody has shortened the book.
    """
    found = list(moves)
    end = max((at for at, _, _ in found), default=begin)
    if end <= begin:
        return [Moment(begin, {state: number for state, number in now.items() if number})]
    width = (end - begin) / steps
    changes: list[Counter[State]] = [Counter() for _ in range(steps + 1)]  # in the step that ends with this moment
    for at, before, after in found:
        step = min(steps, max(0, -int(-(at - begin) // width)))
        if after is not None:
            changes[step][after] += 1
        if before is not None:
            changes[step][before] -= 1
    counts = Counter(now)
    moments = []
    for step in range(steps, -1, -1):
        moments.append(Moment(begin + step * width, {state: number for state, number in counts.items() if number > 0}))
        counts.subtract(changes[step])
    return moments[::-1]
