"""The graph of states over time: where its areas, lines and words stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from image_builder.archive.pages.timeline import Moment
from image_builder.archive.states import State
from image_builder.archive.words import duration

WIDTH, HEIGHT = 900, 300  # of the areas; words stand around them
LEFT, BOTTOM = 56, 24
# From the ground up: what is done lies below what is still to do, and what will not be done on top.
ORDER = (
    State.INSTALLED,
    State.UPLOADED,
    State.BUILT,
    State.BUILDING,
    State.NEEDS_BUILD,
    State.BD_UNINSTALLABLE,
    State.DEP_WAIT,
    State.BUILD_ATTEMPTED,
    State.FAILED,
    State.NOT_FOR_US,
    State.AUTO_NOT_FOR_US,
)
_STEPS_S = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 2 * 86400, 7 * 86400, 30 * 86400)


@dataclass(frozen=True, slots=True)
class Area:
    """One state's. points: as SVG writes them."""

    state: State
    points: str
    last: int  # packages at the end


@dataclass(frozen=True, slots=True)
class Mark:
    """A word at an axis. at: from the left, or from the top."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Graph:
    """All of it, in SVG's units."""

    areas: tuple[Area, ...]
    upright: tuple[Mark, ...]  # numbers of packages
    level: tuple[Mark, ...]  # time since the begin
    most: int
    seconds: float


def graph(moments: Sequence[Moment]) -> Graph | None:
    """Draw at least two moments; None for fewer, or where there was never a package."""
    most = max((sum(moment.counts.values()) for moment in moments), default=0)
    if len(moments) < 2 or not most:
        return None
    begin, seconds = moments[0].at, moments[-1].at - moments[0].at
    across = [LEFT + WIDTH * (moment.at - begin) / seconds for moment in moments]
    ground = [0] * len(moments)
    areas = []
    for state in ORDER:
        numbers = [moment.counts.get(state, 0) for moment in moments]
        if not any(numbers):
            continue
        above = [low + number for low, number in zip(ground, numbers, strict=True)]
        bends = _bends(list(zip(ground, above, strict=True)))
        there = [(across[i], above[i]) for i in bends] + [(across[i], ground[i]) for i in reversed(bends)]
        points = " ".join(f"{x:.1f},{_height(count, most):.1f}" for x, count in there)
        areas.append(Area(state, points, numbers[-1]))
        ground = above
    step = _round(most / 4)
    upright = tuple(Mark(_height(count, most), f"{count:,}") for count in range(0, most + 1, step))
    pace = next((one for one in _STEPS_S if seconds / one <= 8), _STEPS_S[-1] * (1 + int(seconds / 8 / _STEPS_S[-1])))
    level = tuple(
        Mark(round(LEFT + WIDTH * at / seconds, 1), duration(at) if at else "0")
        for at in range(0, int(seconds) + 1, pace)
    )
    return Graph(tuple(areas), upright, level, most, seconds)


def _bends(heights: Sequence[tuple[int, int]]) -> list[int]:
    """Where a line has to have a point: not between two of the same height."""
    last = len(heights) - 1
    return [i for i in range(last + 1) if i in (0, last) or not heights[i - 1] == heights[i] == heights[i + 1]]


def _height(count: int, most: int) -> float:
    return HEIGHT * (1 - count / most)


def _round(number: float) -> int:
    """1, 2 or 5 times a power of ten, at least the number."""
    size = 1
    while True:
        for one in (1, 2, 5):
            if one * size >= number:
                return one * size
        size *= 10
