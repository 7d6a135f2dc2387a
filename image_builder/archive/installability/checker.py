"""Answers for many questions, again and again while the archive changes: asks anew only what a change can affect.

Three ways lead to an answer, the cheapest first. A set of packages found without search proves yes. A dependency that
nothing can satisfy, whatever is chosen, proves no. What is left (conflicts, mostly) is asked of dose-builddebcheck;
the set it finds is kept, and tried first the next time.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from image_builder.archive.installability import dose
from image_builder.archive.installability.closures import Closures
from image_builder.archive.installability.cone import Signature, affected, names_of, signature
from image_builder.archive.installability.greedy import Greedy
from image_builder.archive.installability.missing import Ways
from image_builder.archive.installability.question import YES, Answer, Question
from image_builder.archive.installability.reach import Reach
from image_builder.archive.installability.report import Entry
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import BinaryPackage
from image_builder.scratch import scratch

log = logging.getLogger(__name__)


class Checker:
    """Remembers what it was asked, for one architecture."""

    def __init__(self, architecture: str, cache: Path) -> None:
        """cache: a folder for what dose reads and writes; nothing stays there."""
        self.architecture, self.cache = architecture, cache
        self._packages: dict[Signature, BinaryPackage] = {}
        self._questions: dict[str, Question] = {}
        self._answers: dict[str, Answer] = {}
        self._together: dict[str, frozenset[tuple[str, str]]] = {}  # question -> a set that dose found
        self._universe: Universe | None = None

    def check(self, binaries: Iterable[BinaryPackage], questions: Iterable[Question]) -> Mapping[str, Answer]:
        """The answer to each question, by its name, with the binaries that can be installed now.

        Raises CommandError when dose fails, PipelineError when it cannot be understood; then nothing is remembered of
        this call.
        """
        packages = {signature(binary): binary for binary in binaries}
        asked = {question.name: question for question in questions}
        universe, changed = self._changed(packages)
        stale = {name for name, question in asked.items() if self._questions.get(name) != question}
        known = [question for name, question in asked.items() if name not in stale]
        if self._universe is not None and universe.essential != self._universe.essential:
            stale |= asked.keys()
        elif changed and known:
            stale |= affected(universe, changed, known)
        fresh = self._ask(universe, [asked[name] for name in asked if name in stale])
        self._packages, self._universe, self._questions = packages, universe, asked
        self._answers = {name: fresh.get(name) or self._answers[name] for name in asked}
        self._together = {name: found for name, found in self._together.items() if name in asked}
        return self._answers

    def _changed(self, packages: Mapping[Signature, BinaryPackage]) -> tuple[Universe, set[str]]:
        """The universe now, and the names that mean something else than they did before."""
        differ = packages.keys() ^ self._packages.keys()
        if self._universe is not None and not differ:
            return self._universe, set()
        universe = Universe(packages.values(), self.architecture)
        either = {**self._packages, **packages}
        return universe, {name for sign in differ for name in names_of(universe, either[sign])}

    def _ask(self, universe: Universe, questions: list[Question]) -> dict[str, Answer]:
        if not questions:
            return {}
        groups = {question.name: universe.first_choices(question.needs) for question in questions}
        reach = Reach(universe, [group for each in groups.values() for group in each])
        closures, greedy, ways = Closures(reach), Greedy(reach), Ways(reach)
        answers: dict[str, Answer] = {}
        left = []
        for question in questions:
            needs, avoided = groups[question.name], universe.excluded(question.avoids)
            preferred = self._together.get(question.name, frozenset())
            if reach.is_hopeless([*needs, reach.always[0]]):
                answers[question.name] = Answer(False, ways.missing(question, needs))
            elif closures.settle(needs, avoided) or greedy.settle(needs, avoided, preferred):
                answers[question.name] = YES
            else:
                left.append(question)
        answers |= {entry.name: self._answer(entry) for entry in self._dose(universe, left)}
        count = Counter(answer.installable for answer in answers.values())
        log.debug("asked %d, of dose %d: %d yes, %d no", len(questions), len(left), count[True], count[False])
        return answers

    def _dose(self, universe: Universe, questions: list[Question]) -> list[Entry]:
        if not questions:
            return []
        with scratch(self.cache) as folder:
            return dose.ask(universe, questions, folder)

    def _answer(self, entry: Entry) -> Answer:
        if entry.installable:
            self._together[entry.name] = frozenset(entry.together)
        return YES if entry.installable else Answer(False, entry.reasons)
