"""What a rebuild stands on: the archives as its lock has them, what of them is to be built, and where results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from image_builder.archive.builder.assignment import AptSource, BuildRepository, Tools
from image_builder.archive.configuration import ArchiveConfig, Pass, apt_sources
from image_builder.archive.importer import Archive, read_archive
from image_builder.archive.indices.local import read_local
from image_builder.archive.model import BinaryPackage
from image_builder.archive.pinned import Pinned
from image_builder.archive.rebuild.local import offered
from image_builder.archive.rebuild.pins import Pins
from image_builder.archive.repository.repository import Repository
from image_builder.archive.schedule.passes import base_system
from image_builder.archive.selection import by_pattern, image_packages, sources_of, with_build_dependencies
from image_builder.archive.stages import Stages, stages_of
from image_builder.errors import ConfigError
from image_builder.layers import Store
from proxy.archive.freeze import blobs
from proxy.archive.sources import DEBIAN_KEYRING, Source, merged
from proxy.store.upkeep import in_use

UNPINNED = Tools(source=AptSource(uri="", suite="", components=()))  # of who builds nothing


@dataclass(frozen=True)
class Ground:
    """Read once at the start; the archive does not change while it is rebuilt."""

    config: ArchiveConfig
    store: Store
    pinned: Pinned
    archive: Archive
    stages: Stages
    tools: Tools = UNPINNED  # what the builder's root is made of
    local: BuildRepository | None = None  # finished packages the user brought, as builds are offered them
    of_toolchain: frozenset[tuple[str, str]] = frozenset()  # (address, suite) of archives that only chroots read

    @property
    def repository(self) -> Repository:
        """What is published: of each source the result of the latest stage."""
        return self.stages.newest

    @property
    def native(self) -> str:
        """The architecture that builds what is for all."""
        return self.config.architectures[0]

    def chosen(self, one: Pass) -> set[str]:
        """The sources a pass builds. Raises ConfigError when there are none."""
        names = self._of_the_rebuild()
        if one.packages == "base-system":
            names &= base_system(list(self.archive.sources.values()), self.archive.binaries, self.native)
        elif one.packages != "all":
            names = by_pattern(names, one.packages)
        return names

    def _of_the_rebuild(self) -> set[str]:
        choice, sources, binaries = self.config.packages, self.archive.sources, self.archive.binaries
        buildable = [name for name, source in sources.items() if not source.extra_source_only]
        names = by_pattern(buildable, choice.include, choice.exclude)
        if choice.image is not None:
            wanted, complete = image_packages(choice.image)
            names &= sources_of(wanted, binaries, self.native, complete=complete)
        if choice.build_dependencies:
            names = with_build_dependencies(
                names, sources, binaries, self.native, frozenset(self.config.toolchain.build_profiles)
            )
        return names

    def old_binaries(self, architecture: str) -> list[BinaryPackage]:
        """What the archive offers to builds on an architecture."""
        return [one for one in self.archive.binaries if one.architecture in (architecture, "all")]


def laid(config: ArchiveConfig, *, update: bool, now: datetime, builds: bool = False) -> Ground:
    """Pin the archives, read them, open the results. Raises PipelineError for what cannot be pinned or read.

    builds: pin what the builder's root is made of, too, and lay out what builds are offered of the user's own.
    """
    store = Store(config.store)
    store.probe()
    use = store.until_closed(in_use(blobs(store.downloads())))
    keyring = config.keyring or DEBIAN_KEYRING
    sources = _sources(config, config.sources, keyring)
    known = {(one.uri, one.suite) for one in sources}
    more = [replace(one, source_packages=False) for one in _sources(config, config.toolchain.sources, keyring)]
    sources = merged([*sources, *more])
    pins = Pins(config, keyring, store.downloads(), now, update=update)
    pinned = Pinned(sources, pins.of(sources), keyring=keyring, cache=pins.cache)
    local = read_local(config.local)
    archive = read_archive(pinned, config.architectures, local)
    if not archive.sources:
        raise ConfigError("the archives have no sources", where="sources", hint="name one of type deb-src")
    ground = Ground(config, store, pinned, archive, stages_of(config))
    if not builds:
        return ground
    use.of(pinned.frozen_set())  # a rebuild takes days, and what else is in the store may go meanwhile
    return replace(
        ground,
        tools=pins.of_tools(sources),
        local=offered(local, config.work / "local", config.suite),
        of_toolchain=frozenset((one.uri, one.suite) for one in more) - known,
    )


def _sources(config: ArchiveConfig, texts: Sequence[str], keyring: Path) -> list[Source]:
    return [
        Source(s.uri, s.suite, s.components, tuple(config.architectures), s.signed_by, s.trusted, s.source_packages)
        for s in apt_sources(texts, config.architectures[0], keyring)
    ]


def utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0)
