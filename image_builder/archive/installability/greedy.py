"""One question at a time: what has no choice comes in first; choices are made late, for what is in already."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from image_builder.archive.installability.reach import Group, Reach

Names = Collection[tuple[str, str]]  # (name, version)


class Greedy:
    """Tries what the first choices do not settle; remembers what packages exclude."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._avoids: dict[int, set[int]] = {}

    def settle(self, groups: Iterable[Group], avoided: Iterable[int] = (), preferred: Names = ()) -> bool:
        """Whether a set was found that satisfies all groups. False says nothing: no choice is taken back.

        preferred: packages to choose first, of a set that did before.
        """
        packages = self.reach.universe.packages
        inside: set[int] = set()
        excluded = set(avoided)
        todo, choices = deque([*self.reach.always, *groups]), deque[Group]()
        while todo or choices:
            group = (todo or choices).popleft()
            if not inside.isdisjoint(group):
                continue
            able = [n for n in self.reach.alive(group) if n not in excluded]
            if preferred:
                able.sort(key=lambda n: (packages[n].name, packages[n].version) not in preferred)
            if len(able) > 1 and todo:
                choices.append(group)
                continue
            chosen = next((n for n in able if inside.isdisjoint(self._excluded_by(n))), None)
            if chosen is None:
                return False
            inside.add(chosen)
            excluded |= self._excluded_by(chosen)
            todo.extend(self.reach.needs[chosen])
        return True

    def _excluded_by(self, number: int) -> set[int]:
        found = self._avoids.get(number)
        if found is None:
            found = self._avoids[number] = self.reach.universe.avoids(number)
        return found
