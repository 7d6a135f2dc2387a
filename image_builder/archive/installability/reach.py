"""What can come in for some questions by any choice, and what of it can never be installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from image_builder.archive.installability.universe import UNSURE, Universe

Group = tuple[int, ...]  # the packages that would do, the preferred first
BUILD_ESSENTIAL = "build-essential"


class Reach:
    """The part of a universe below some groups, and its dead ends."""

    def __init__(self, universe: Universe, roots: Iterable[Group]) -> None:
        self.universe = universe
        self.always = universe.choices(BUILD_ESSENTIAL) + universe.always()
        self.needs: dict[int, list[Group]] = {}
        todo = [number for groups in (self.always, roots) for group in groups for number in group]
        while todo:
            number = todo.pop()
            if number not in self.needs and number != UNSURE:
                groups = self.needs[number] = universe.needs(number)
                todo.extend(n for group in groups for n in group if n not in self.needs)
        self.hopeless = _spread(self.needs, set())  # for sure, whatever is chosen
        self.dead = _spread(self.needs, {UNSURE})  # as far as a careful reader can see

    def alive(self, group: Group) -> Iterator[int]:
        """Those of a group that may be installable."""
        return (number for number in group if number not in self.dead)

    def is_hopeless(self, groups: Iterable[Group]) -> bool:
        """Whether nothing can satisfy one of the groups."""
        return any(self.hopeless.issuperset(group) for group in groups)


def _spread(needs: Mapping[int, Sequence[Group]], dead: set[int]) -> set[int]:
    """Those given, those of which a group has nobody, and then all of which a group has nobody but such."""
    dead = dead | {number for number, groups in needs.items() if not all(groups)}
    if not dead:
        return dead
    users: dict[int, list[tuple[int, int]]] = {}
    left: dict[tuple[int, int], int] = {}
    for number, groups in needs.items():
        for at, group in enumerate(groups):
            left[number, at] = len(group)
            for n in group:
                users.setdefault(n, []).append((number, at))
    todo = list(dead)
    while todo:
        for use in users.get(todo.pop(), ()):
            left[use] -= 1
            if left[use] == 0 and use[0] not in dead:
                dead.add(use[0])
                todo.append(use[0])
    return dead
