"""Which packages of a run can be built now: the scheduler's questions, asked of the archive and what was built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from pathlib import Path

from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.installability.asking import Asking, prefixes, verdict_of
from image_builder.archive.installability.checker import Checker
from image_builder.archive.installability.question import asked_about
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.archive.schedule.seams import Lane


class Installable:
    """Check and WaitCheck of one run. A checker for each lane, so that only what a change can affect is asked again."""

    def __init__(
        self,
        database: Database,
        run: Run,
        sources: Mapping[str, SourcePackage],
        offered: Callable[[str], Sequence[BinaryPackage]],
        cache: Path,
        profiles: Set[str],
    ) -> None:
        """offered: what builds on an architecture may install now."""
        self.database, self.run, self.sources, self.offered = database, run, sources, offered
        self.cache, self._asking = cache, Asking(profiles)
        self._checkers: dict[Lane, Checker] = {}
        self._waits: dict[Lane, Mapping[str, Verdict]] = {}

    def check(self, lane: Lane, asked: Collection[str] | None) -> Mapping[str, Verdict]:
        """Whether the build dependencies of all that wait in a lane can be installed. asked is within that."""
        del asked  # the checker knows by itself which answers a change cannot have touched
        rows = self.database.to_judge(self.run.identity, lane.suite, lane.architecture)
        unreadable: dict[str, Verdict] = {}
        questions = [
            question
            for row in rows
            for question in self._asking.questions(row, self.sources, lane.architecture, lane.machine, unreadable)
        ]
        checker = self._checkers.setdefault(lane, Checker(lane.machine, self.cache))
        answers = checker.check(self.offered(lane.machine), questions)
        verdicts = {name: verdict_of(name, answer) for name, answer in answers.items()} | unreadable
        build, wait = prefixes(lane.architecture)
        split: dict[str, dict[str, Verdict]] = {build: {}, wait: {}}
        for name, verdict in verdicts.items():
            prefix, source = asked_about(name)
            split[prefix][source] = verdict
        self._waits[lane] = split[wait]
        return split[build]

    def waits(self, lane: Lane) -> Mapping[str, Verdict]:
        """Whether what is waited for is there; as check() has found it, which is called before."""
        return self._waits.get(lane, {})
