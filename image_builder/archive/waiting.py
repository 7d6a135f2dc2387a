"""What a package waits for, who makes that, and what waits for it in turn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from image_builder.archive.database.records import Run
from image_builder.archive.database.views import View
from image_builder.archive.dependency_wait import parse_waits
from image_builder.archive.installability.reasons import Missing, from_json
from image_builder.archive.states import Package, State

_NAME = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")


@dataclass(frozen=True, slots=True)
class Needed:
    """A binary package that is missing."""

    name: str
    by: Package | None  # the source of this run that makes it


@dataclass(frozen=True, slots=True)
class Waiting:
    """A package between those it waits for and those that wait for it."""

    package: Package
    needs: tuple[Needed, ...]
    needed_by: tuple[str, ...]  # sources, by name
    place: int | None  # in the queue, from 1; None: not in it


def waiting(database: View, run: Run, package: Package) -> Waiting:
    """Look at a package of a run. Only what is missing now counts, not every build dependency."""
    key = package.key
    of_place = database.packages(run.identity, suite=key.suite, architecture=key.architecture)
    makers = {binary: one for one in of_place for binary in one.binaries.split()}
    needs = tuple(Needed(name, makers.get(name)) for name in _missing(package))
    own = set(package.binaries.split())
    needed_by = tuple(one.key.source for one in of_place if one.key != key and own & set(_missing(one)))
    place = None
    if package.state is State.NEEDS_BUILD:
        ahead = [one for one in of_place if one.state is State.NEEDS_BUILD and _urgency(one) < _urgency(package)]
        place = len(ahead) + 1
    return Waiting(package, needs, needed_by, place)


def _urgency(package: Package) -> tuple[float, float, str]:
    return (
        -(package.priority_once + package.priority_permanent),
        -package.remaining_seconds,
        package.key.source,
    )


def _missing(package: Package) -> tuple[str, ...]:
    return missing(package.state, package.depends, package.bd_chain)


def missing(state: State, depends: str, bd_chain: str) -> tuple[str, ...]:
    """The binary packages that are not there, or not in the version that is wanted; of a row's columns."""
    if state is State.DEP_WAIT:
        try:
            return tuple(name.partition(":")[0] for name in parse_waits(depends))
        except ValueError:
            return ()
    if state is not State.BD_UNINSTALLABLE:
        return ()
    try:
        reasons = from_json(bd_chain)
    except ValueError:
        return ()
    return tuple(dict.fromkeys(name for reason in reasons if isinstance(reason, Missing) for name in _names(reason)))


def _names(reason: Missing) -> Iterable[str]:
    for alternative in reason.path[-1].needs.split("|"):
        match = _NAME.match(alternative)
        if match is not None:
            yield match[1]
