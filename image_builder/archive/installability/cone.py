"""Which questions a changed package can affect: those that lead to its name, or to one it provides, by any choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from image_builder.archive.installability.question import Question
from image_builder.archive.installability.reach import BUILD_ESSENTIAL
from image_builder.archive.installability.universe import NEEDS, Universe
from image_builder.archive.model import BinaryPackage

Signature = tuple[object, ...]


def signature(package: BinaryPackage) -> Signature:
    """All of a package that installability depends on."""
    get = package.relations.get
    return (
        package.name,
        package.version,
        package.architecture,
        package.essential,
        package.multi_arch,
        get("Depends"),
        get("Pre-Depends"),
        get("Provides"),
        get("Conflicts"),
        get("Breaks"),
    )


def names_of(universe: Universe, package: BinaryPackage) -> set[str]:
    """What others may mean it by."""
    return {package.name, *universe.names(package.relations.get("Provides", ""))}


def affected(universe: Universe, changed: Iterable[str], questions: Iterable[Question]) -> set[str]:
    """The names of the questions that changed names can affect.

    universe: after the change. Of a package that is no longer there, only who asked for its names matters, and those
    that ask are still there, or have changed themselves.
    """
    names = _upwards(universe, changed)
    if not names.isdisjoint((BUILD_ESSENTIAL, *universe.essential)):
        return {question.name for question in questions}
    return {question.name for question in questions if not names.isdisjoint(universe.names(question.needs))}


def _upwards(universe: Universe, changed: Iterable[str]) -> set[str]:
    asked_by: dict[str, list[int]] = defaultdict(list)  # name -> the packages with a dependency that mentions it
    for number, package in enumerate(universe.packages):
        for name in _mentioned(universe, package):
            asked_by[name].append(number)
    found: set[str] = set()
    todo = list(changed)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            for number in asked_by.get(name, ()):
                todo.extend(names_of(universe, universe.packages[number]))
    return found


def _mentioned(universe: Universe, package: BinaryPackage) -> Iterator[str]:
    for field in NEEDS:
        if text := package.relations.get(field):
            yield from universe.names(text)
