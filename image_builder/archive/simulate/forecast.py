"""What a rebuild would need: time by the number of builds at once, and space. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.archive.schedule.passes import PlannedPass
from image_builder.archive.simulate.bound import Bound
from image_builder.archive.simulate.nature import Nature

SLOTS = (1, 4, 16, 50, 100, 200, 400)
BUILD_DISK_BYTES = 8 << 30  # of a build under way: chroot, build tree, results; all but the largest need less
BUILD_MEMORY_BYTES = 4 << 30  # the same


@dataclass(frozen=True)
class Space:
    """Bytes. sources: of the packages to be built; results: of binaries like those the archive has now."""

    sources: int
    results: int

    def of_machines(self, slots: int) -> int:
        """Disk of all builds that run at once."""
        return slots * BUILD_DISK_BYTES


def bounds(plan: PlannedPass, nature: Nature, slots: Iterable[int] = SLOTS) -> list[tuple[int, Bound]]:
    """The least time for each number of slots, if every build succeeded at once."""
    work = sum(nature.fate(name).seconds for name in plan.graph.sources)
    critical = max(plan.remaining.values(), default=0.0)
    return [(count, Bound(critical, work / count)) for count in slots]


def space(sources: Sequence[SourcePackage], binaries: Iterable[BinaryPackage]) -> Space:
    """What is stored in any case, wherever it is built."""
    names = {one.name for one in sources}
    return Space(
        sum(file.size for one in sources for file in one.files),
        sum(one.file.size for one in binaries if one.source in names and one.file is not None),
    )
