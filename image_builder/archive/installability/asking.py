"""Writes the questions about what waits in a rebuild, and the answers in the words of its database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from image_builder.archive.importing import INSTALLABLE, Verdict
from image_builder.archive.indices.relations import NO_PROFILES, Groups, build_dependencies, parse, reduced, written
from image_builder.archive.installability.question import (
    DEP_WAIT,
    DEP_WAIT_INDEP,
    INDEP,
    SOURCE,
    Answer,
    Question,
)
from image_builder.archive.installability.reasons import to_json, words
from image_builder.archive.model import SourcePackage
from image_builder.archive.states import Package, State
from image_builder.errors import PipelineError


class Asking:
    """Remembers the build dependencies it has reduced: of 35,000 sources that takes more than a second."""

    def __init__(self, profiles: Set[str] = NO_PROFILES) -> None:
        self.profiles = profiles
        self._written: dict[tuple[str, str], tuple[SourcePackage, str, str]] = {}

    def questions(
        self,
        package: Package,
        sources: Mapping[str, SourcePackage],
        target: str,
        native: str,
        unreadable: dict[str, Verdict],
    ) -> Iterator[Question]:
        """What is to be asked for a package; unreadable: gets the verdict on one whose fields cannot be read."""
        name = package.key.source
        source = sources.get(name)
        build, wait = prefixes(target)
        if source is None or source.version != package.version:
            return  # the importer has not seen the change yet
        try:
            needs, avoids = self._relations(source, target, native)
            needs = _joined(needs, _more(package.extra_depends, native, self.profiles))
            avoids = _joined(avoids, _more(package.extra_conflicts, native, self.profiles))
        except PipelineError as e:
            unreadable[build + name] = Verdict(e.what)
            return
        yield Question(build + name, package.version, needs, avoids)
        if package.state is State.DEP_WAIT and package.depends:
            yield Question(wait + name, package.version, package.depends)

    def _relations(self, source: SourcePackage, target: str, native: str) -> tuple[str, str]:
        known = self._written.get((target, source.name))
        if known is None or known[0] is not source:
            needs, avoids = build_dependencies(source, target, native, self.profiles)
            known = self._written[target, source.name] = (source, written(needs), written(avoids))
        return known[1], known[2]


def prefixes(target: str) -> tuple[str, str]:
    """Of the names of questions: for a build, for what a Dep-Wait waits for."""
    return (INDEP, DEP_WAIT_INDEP) if target == "all" else (SOURCE, DEP_WAIT)


def _more(field: str, native: str, profiles: Set[str]) -> Groups:
    return reduced(parse(field), native, profiles) if field else ()


def _joined(field: str, more: Groups) -> str:
    return ", ".join(text for text in (field, written(more)) if text)


def verdict_of(name: str, answer: Answer) -> Verdict:
    """An answer in the words of the database."""
    if answer.installable:
        return INSTALLABLE
    verb = "waits for" if name.startswith("depwait") else "needs"
    return Verdict(words(answer.reasons, verb) or "cannot be installed", to_json(answer.reasons))
