"""Brings into a rebuild's database what can be installed now: build dependencies, and what a Dep-Wait waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.indices.relations import NO_PROFILES
from image_builder.archive.installability.asking import Asking, prefixes, verdict_of
from image_builder.archive.installability.checker import Checker
from image_builder.archive.installability.question import asked_about
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.archive.states import State


class Judge:
    """Keeps one checker for each architecture, so that only what a change can affect is looked at again."""

    def __init__(
        self,
        database: Database,
        run: Run,
        suite: str,
        native: Mapping[str, Iterable[str]],
        cache: Path,
        profiles: Set[str] = NO_PROFILES,
    ) -> None:
        """native: real architecture -> what is built on it: itself, and on one of them "all"; cache: see Checker."""
        self.database, self.run, self.suite, self.native = database, run, suite, native
        self._checkers = {architecture: Checker(architecture, cache) for architecture in native}
        self._asking = Asking(profiles)

    def judge(
        self, sources: Mapping[str, SourcePackage], binaries: Mapping[str, Iterable[BinaryPackage]], now: float
    ) -> dict[str, dict[str, State]]:
        """Ask for all packages that wait, and move those whose answer has changed.

        binaries: real architecture -> what its builds may install now. Return the new states, by architecture (also
        "all") and source. Raises CommandError when dose fails: then nothing more is moved.
        """
        moved = {}
        for native, targets in self.native.items():
            rows = {target: self.database.to_judge(self.run.identity, self.suite, target) for target in targets}
            unreadable: dict[str, Verdict] = {}
            questions = [
                question
                for target, packages in rows.items()
                for package in packages
                for question in self._asking.questions(package, sources, target, native, unreadable)
            ]
            answers = self._checkers[native].check(binaries[native], questions)
            verdicts = {name: verdict_of(name, answer) for name, answer in answers.items()} | unreadable
            for target in targets:
                moved[target] = self._settle(target, verdicts, now)
        return moved

    def _settle(self, target: str, verdicts: Mapping[str, Verdict], now: float) -> dict[str, State]:
        build, wait = prefixes(target)
        of: dict[str, dict[str, Verdict]] = {build: {}, wait: {}}
        for name, verdict in verdicts.items():
            prefix, source = asked_about(name)
            if prefix in of:
                of[prefix][source] = verdict
        return self.database.judge(self.run.identity, self.suite, target, of[build], of[wait], now)
