"""Sets of packages that can be installed together, found without search: proof that the answer to a question is yes.

Every package takes the first alternative of each dependency that can be installed. What follows from that is a closure,
one per package, kept as the bits of a number; so are the packages that a closure excludes. What a question needs is the
union of the closures of its dependencies. If the two numbers have no bit in common, there is the set. Otherwise nothing
is known: another choice may do.
"""

from __future__ import annotations

from collections.abc import Iterable

from image_builder.archive.components import components
from image_builder.archive.installability.reach import Group, Reach


class Closures:
    """For each package that may come in: what comes with it, and what that excludes."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        edges: list[list[int]] = [[] for _ in reach.universe.packages]
        living = [number for number in reach.needs if number not in reach.dead]
        for number in living:
            edges[number] = [next(reach.alive(group)) for group in reach.needs[number]]
        circles = components(edges, living)
        self._position = {number: at for at, number in enumerate(n for circle in circles for n in circle)}
        self._inside: dict[int, int] = {}
        self._excluded: dict[int, int] = {}
        for circle in circles:  # each comes after all it leads to
            inside, excluded = self.bits(circle), 0
            for number in circle:
                excluded |= self.bits(reach.universe.avoids(number))
                for needed in edges[number]:
                    if needed in self._inside:
                        inside |= self._inside[needed]
                        excluded |= self._excluded[needed]
            for number in circle:
                self._inside[number], self._excluded[number] = inside, excluded
        self._always = self._together(reach.always)

    def settle(self, groups: Iterable[Group], avoided: Iterable[int] = ()) -> bool:
        """Whether the first choices satisfy all groups beside what is always there, and without those avoided."""
        found = self._together(groups)
        if found is None or self._always is None:
            return False
        inside, excluded = found[0] | self._always[0], found[1] | self._always[1]
        return not inside & (excluded | self.bits(avoided))

    def bits(self, numbers: Iterable[int]) -> int:
        """Packages as bits; those that never come in have none."""
        found = 0
        for number in numbers:
            at = self._position.get(number)
            if at is not None:
                found |= 1 << at
        return found

    def _together(self, groups: Iterable[Group]) -> tuple[int, int] | None:
        inside = excluded = 0
        for group in groups:
            number = next(self.reach.alive(group), None)
            if number is None:
                return None
            inside |= self._inside[number]
            excluded |= self._excluded[number]
        return inside, excluded
