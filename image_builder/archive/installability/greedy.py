"""One question at a time: what has no choice comes in first; choices are made late, for what is in already."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from image_builder.archive.installability.reach import Group, Reach

Names = Collection[tuple[str, str]]  # (name, version)


class Greedy:
    """Tries what the first choices do not settle; remembers what packages need and exclude."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._needs: dict[int, list[Group]] = {}
        self._avoids: dict[int, set[int]] = {}

    def settle(self, groups: Iterable[Group], avoided: Iterable[int] = (), preferred: Names = ()) -> bool:
        """Whether a set was found that satisfies all groups. False says nothing: no choice is taken back.

        preferred: packages to choose first, of a set that did before.
        """
        inside: set[int] = set()
        excluded = set(avoided)
        todo, choices = deque(self._living([*self.reach.always, *groups])), deque[Group]()
        while todo or choices:
            last = not todo
            group = (todo or choices).popleft()
            if not inside.isdisjoint(group):
                continue
            able = group if excluded.isdisjoint(group) else tuple(n for n in group if n not in excluded)
            if len(able) > 1 and not last:
                choices.append(group)
                continue
            if preferred:
                able = self._sorted(able, preferred)
            chosen = next((n for n in able if inside.isdisjoint(self._excluded_by(n))), None)
            if chosen is None:
                return False
            inside.add(chosen)
            excluded |= self._excluded_by(chosen)
            if chosen not in self._needs:
                self._needs[chosen] = self._living(self.reach.needs[chosen])
            todo.extend(self._needs[chosen])
        return True

    def _living(self, groups: Iterable[Group]) -> list[Group]:
        return [tuple(self.reach.alive(group)) for group in groups]

    def _sorted(self, numbers: Iterable[int], preferred: Names) -> tuple[int, ...]:
        packages = self.reach.universe.packages
        return tuple(sorted(numbers, key=lambda n: (packages[n].name, packages[n].version) not in preferred))

    def _excluded_by(self, number: int) -> set[int]:
        found = self._avoids.get(number)
        if found is None:
            found = self._avoids[number] = self.reach.universe.avoids(number)
        return found
