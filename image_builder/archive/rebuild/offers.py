"""What builds of a pass may install now, and what a run has made so far: read from results and the old archive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from image_builder.archive.database.records import Run
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.installability.offer import build_tools, offered
from image_builder.archive.model import Base, BinaryPackage
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.results import STANZAS


class Offers:
    """What builds of one run may install, by architecture; read anew after each look at the repository."""

    def __init__(self, ground: Ground, run: Run, clock: Callable[[], float]) -> None:
        self._ground, self._run, self._clock = ground, run, clock
        self._known: dict[str, list[BinaryPackage]] = {}
        self._tools: dict[str, list[BinaryPackage]] = {}  # of the old archive, which stays as it is

    def refresh(self) -> None:
        """Bring the repository in step with the results; what was read of it before is forgotten."""
        if self._run.base != Base.OLD:
            self._ground.stages.repository(self._run.stage).update(self._ground.config.suite)
        self._known.clear()

    def __call__(self, architecture: str) -> list[BinaryPackage]:
        if architecture not in self._known:
            old = self._ground.old_binaries(architecture)
            self._known[architecture] = offered(
                self._run.base, old, self._built(architecture), local=self._ground.archive.local.binaries.values(),
                overlay=self._overlay(architecture, old),
            )  # fmt: skip
        return self._known[architecture]

    def _built(self, architecture: str) -> list[BinaryPackage]:
        if self._run.base == Base.OLD:
            return []
        repository = self._ground.stages.repository(self._run.stage)
        return read_packages(repository.index(self._ground.config.suite, architecture, now=self._clock()) / "Packages")

    def _overlay(self, architecture: str, old: list[BinaryPackage]) -> list[BinaryPackage]:
        """What is in every chroot; where that is made of results only, these have to have it."""
        if self._run.base == Base.BUILT:
            return []
        if architecture not in self._tools:
            self._tools[architecture] = build_tools(old, architecture)
        return self._tools[architecture]


def made(ground: Ground, run: Run, forgiven: Collection[int] = ()) -> Iterator[BinaryPackage]:
    """What a run has made so far, as the importer compares it with the archive.

    forgiven: attempts whose packages somebody wants built again; what these made does not count.
    """
    results, suite = ground.stages.results(run.stage), ground.config.suite
    for architecture in results.architectures(suite):
        for source in results.sources(suite, architecture):
            result = results.read(suite, architecture, source)
            if result is not None and result.run == run.name and result.attempt not in forgiven:
                yield from read_packages(results.place(suite, architecture, source) / STANZAS)
