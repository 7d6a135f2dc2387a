"""Which binaries a pass lets its builds install: the archive's, those built here, or both."""

from __future__ import annotations

from collections.abc import Iterable

from image_builder.archive.indices.versions import compare
from image_builder.archive.installability.reach import Group, Reach
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import Base, BinaryPackage

# What every build needs, if the suite itself does not have it: wanna-build's overlay "+build-essential".
TOOLS = frozenset({"dpkg-dev", "make", "binutils", "perl"})


def offered(
    base: Base,
    old: Iterable[BinaryPackage],
    built: Iterable[BinaryPackage],
    *,
    local: Iterable[BinaryPackage] = (),
    overlay: Iterable[BinaryPackage] = (),
) -> list[BinaryPackage]:
    """What apt would choose from, each name in one version: the candidate.

    What was built here hides the archive's packages of the same name and those of the same source; local .debs hide
    both. overlay: what there is besides, where nobody else has the name.
    """
    built = list(built) if base is not Base.OLD else []
    local = list(local)
    chosen = _newest(local)
    for binaries in (built, old if base is not Base.BUILT else ()):
        sources = {binary.source for binary in built} if binaries is not built else set()
        candidates = _newest(b for b in binaries if b.source not in sources)
        chosen = {**candidates, **chosen}
    return list({**_newest(overlay), **chosen}.values())


def build_tools(binaries: Iterable[BinaryPackage], architecture: str) -> list[BinaryPackage]:
    """The overlay: what is essential, required or build-essential, wanna-build's tools, and all these depend on."""
    universe = Universe(binaries, architecture)
    chosen = [
        number
        for number, package in enumerate(universe.packages)
        if package.essential or package.build_essential or package.priority == "required" or package.name in TOOLS
    ]
    return [universe.packages[number] for number in sorted(installed(universe, [(number,) for number in chosen]))]


def installed(universe: Universe, groups: Iterable[Group]) -> set[int]:
    """What comes in for groups when everybody takes the first alternative that can be installed.

    Groups that nothing satisfies bring nothing.
    """
    groups = list(groups)
    reach = Reach(universe, groups)
    found: set[int] = set()
    todo = list(groups)
    while todo:
        number = next(reach.alive(todo.pop()), None)
        if number is not None and number not in found:
            found.add(number)
            todo.extend(reach.needs[number])
    return found


def _newest(binaries: Iterable[BinaryPackage]) -> dict[str, BinaryPackage]:
    newest: dict[str, BinaryPackage] = {}
    for binary in binaries:
        other = newest.get(binary.name)
        if other is None or compare(binary.version, other.version) > 0:
            newest[binary.name] = binary
    return newest
