"""What a rebuild stands on: the archives as its lock has them, what of them is to be built, and where results go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image_builder.archive.configuration import ArchiveConfig, Pass, apt_sources
from image_builder.archive.importer import Archive, read_archive
from image_builder.archive.indices.local import read_local
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.model import BinaryPackage
from image_builder.archive.pinned import Pinned
from image_builder.archive.repository.repository import Repository
from image_builder.archive.results import STANZAS, Results
from image_builder.archive.schedule.passes import base_system
from image_builder.archive.selection import by_pattern, image_packages, sources_of, with_build_dependencies
from image_builder.errors import ConfigError
from image_builder.layers import Store
from image_builder.lock import ArchivePin, Lock
from proxy.archive import stamp
from proxy.archive.freeze import freeze
from proxy.archive.sources import DEBIAN_KEYRING, Source


@dataclass(frozen=True)
class Ground:
    """Read once at the start; the archive does not change while it is rebuilt."""

    config: ArchiveConfig
    store: Store
    pinned: Pinned
    archive: Archive
    results: Results
    repository: Repository

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

    def built(self, architecture: str, *, now: float) -> list[BinaryPackage]:
        """What was built here so far and is offered to builds."""
        index = self.repository.index(self.config.suite, architecture, now=now) / "Packages"
        return read_packages(index)

    def of_run(self, run: str) -> Iterable[BinaryPackage]:
        """What one run has made so far, as the importer compares it with the archive."""
        suite = self.config.suite
        for architecture in self.results.architectures(suite):
            for source in self.results.sources(suite, architecture):
                result = self.results.read(suite, architecture, source)
                if result is not None and result.run == run:
                    yield from read_packages(self.results.place(suite, architecture, source) / STANZAS)


def laid(config: ArchiveConfig, *, update: bool, now: datetime) -> Ground:
    """Pin the archives, read them, open the results. Raises PipelineError for what cannot be pinned or read."""
    store = Store(config.store)
    store.probe()
    keyring = config.keyring or DEBIAN_KEYRING
    sources = [
        Source(s.uri, s.suite, s.components, tuple(config.architectures), s.signed_by, s.trusted, s.source_packages)
        for s in apt_sources([*config.sources, *config.toolchain.sources], config.architectures[0], keyring)
    ]
    cache = store.downloads()
    pins = _pins(config, sources, keyring, cache, update=update, now=now)
    pinned = Pinned(sources, pins, keyring=keyring, cache=cache)
    archive = read_archive(pinned, config.architectures, read_local(config.local))
    if not archive.sources:
        raise ConfigError("the archives have no sources", where="sources", hint="name one of type deb-src")
    results = Results(config.results)
    repository = Repository(results, config.repository, {config.suite: config.architectures})
    return Ground(config, store, pinned, archive, results, repository)


def _pins(
    config: ArchiveConfig, sources: list[Source], keyring: Path, cache: Path, *, update: bool, now: datetime
) -> tuple[ArchivePin, ...]:
    """The lock's, or new ones, which are written into it beside whatever else it has."""
    before = Lock.read(config.lock)
    asked = [(s.uri, s.suite, s.components, s.architectures) for s in sources]
    if before is not None and not update and not before.missing(asked):
        return before.archives
    wanted = stamp.agreed(config.snapshot.split(), now=now, where="snapshot")
    pins = freeze(sources, keyring=keyring, cache=cache, now=now, stamp=wanted,
                  pins=() if update or before is None else before.archives)  # fmt: skip
    kept: Mapping[tuple[str, str], ArchivePin] = {(p.uri, p.suite): p for p in (before.archives if before else ())}
    together = {**kept, **{(pin.uri, pin.suite): pin for pin in pins}}
    made = Lock(created=now, archives=tuple(together.values())) if before is None else before.model_copy(
        update={"created": now, "archives": tuple(together.values())}
    )  # fmt: skip
    made.write(config.lock)
    return made.archives


def utc(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0)
