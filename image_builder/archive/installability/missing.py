"""The way from a question to what is missing, where no choice can avoid it."""

from __future__ import annotations

from collections import deque

from image_builder.archive.indices.relations import first_only, parse, written
from image_builder.archive.installability.question import Question
from image_builder.archive.installability.reach import BUILD_ESSENTIAL, Group, Reach
from image_builder.archive.installability.reasons import Missing, Step

Way = tuple[tuple[Step, ...], tuple[str, ...]]  # down to what is missing; what there is under its name


class Ways:
    """Remembers the way down from each group: where much is missing, most questions end in the same few."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._known: dict[Group, Way] = {}

    def missing(self, question: Question, groups: list[Group]) -> tuple[Missing, ...]:
        """Why a question is hopeless: one shortest way for each of its dependencies that are."""
        texts = [written((first_only(group),)) for group in parse(question.needs)]  # as sbuild takes them
        reasons = []
        for text, group in [*zip(texts, groups, strict=True), (BUILD_ESSENTIAL, self.reach.always[0])]:
            if self.reach.hopeless.issuperset(group):
                first = Step(question.name, question.version, text)
                steps, present = self._below(group) if group else ((), self._present(text))
                reasons.append(Missing((first, *steps), present))
        return tuple(reasons)

    def _below(self, group: Group) -> Way:
        found = self._known.get(group)
        if found is None:
            steps = self._way(group)
            found = self._known[group] = (steps, self._present(steps[-1].needs))
        return found

    def _way(self, group: Group) -> tuple[Step, ...]:
        """The steps from a hopeless group down to one that has nobody, breadth first."""
        universe = self.reach.universe
        todo: deque[tuple[Group, tuple[Step, ...]]] = deque([(group, ())])
        seen: set[int] = set()
        while todo:
            candidates, path = todo.popleft()
            if not candidates:
                return path
            for number in candidates:
                if number in seen:
                    continue
                seen.add(number)
                package = universe.packages[number]
                for text, below in zip(universe.wants(number), self.reach.needs[number], strict=True):
                    if self.reach.hopeless.issuperset(below):
                        todo.append((below, (*path, Step(package.name, package.version, text))))
        raise AssertionError("what is hopeless has a way to what is missing")

    def _present(self, relation: str) -> tuple[str, ...]:
        universe = self.reach.universe
        names = sorted(universe.names(relation))
        return tuple(f"{name} {version}" for name in names for version in universe.versions(name))
