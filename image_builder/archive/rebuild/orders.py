"""An attempt as a job: the assignment a builder reads, and the command that carries it out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

from image_builder.archive.builder.assignment import AptSource, Assignment, BuildRepository, Means, SourceFile
from image_builder.archive.builder.chroot import TIMEOUT_S as CHROOT_S
from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.model import Attempt, Base, SourcePackage
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.rebuild.machine import Machine
from image_builder.archive.repository.index import ORIGIN
from image_builder.archive.repository.useforbuild import Flags
from image_builder.archive.schedule.seams import reference
from image_builder.errors import PipelineError
from image_builder.jobs.interface import Job
from proxy.archive.sources import Source

OVERHEAD_S = CHROOT_S + 900.0  # what a builder needs besides sbuild: fetching, the chroot, packing the log
COMMAND = (sys.executable, "-m", "image_builder.archive.builder")


class Orders:
    """Writes assignments into a folder, for builds on this machine."""

    def __init__(
        self, ground: Ground, database: Database, run: Run, folder: Path, machine: Machine, clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self.ground, self.database, self.run, self.folder, self.machine = ground, database, run, folder, machine
        self._epoch = int(max(pin.date for pin in ground.pinned.pins).timestamp())
        self._indexed: dict[str, tuple[Flags, Path]] = {}  # by machine

    def __call__(self, attempt: Attempt, *, alone: bool) -> Job:
        assignment = self.assignment(attempt)
        name = reference(attempt)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.json"
        assignment.write(path)
        return Job(
            reference=name,
            name=f"{attempt.key.source} {attempt.version} {attempt.key.architecture}",
            architecture=assignment.build_architecture,
            command=(*COMMAND, str(path.absolute())),
            environment={},
            memory_bytes=attempt.memory_bytes,
            disk_bytes=attempt.disk_bytes,
            # The builder ends sbuild in time by itself, and keeps its log; this is for one that does not.
            time_limit_seconds=attempt.time_limit_seconds + OVERHEAD_S,
            alone=alone,
        )

    def assignment(self, attempt: Attempt) -> Assignment:
        """Raises PipelineError for a package the archive does not have any more."""
        ground, config, key = self.ground, self.ground.config, attempt.key
        row = self.database.package(self.run.identity, key)
        source = ground.archive.sources.get(key.source)
        if row is None or source is None or source.version != attempt.version:
            raise PipelineError(f"version {attempt.version} is not in the archive", where=key.source)
        machine = ground.native if key.architecture == "all" else key.architecture
        built = None
        if self.run.base != Base.OLD:
            built = BuildRepository(folder=self._index(machine).absolute(), origin=ORIGIN)
        place = ground.archive.local.source_places.get(key.source)
        tree = place.absolute() if place is not None and place.is_dir() else None
        return Assignment(
            reference=reference(attempt),
            source=key.source,
            version=attempt.version,
            binary_nmu=attempt.binary_nmu,
            suite=config.suite,
            architecture=key.architecture,
            build_architecture=machine,
            build_all=key.architecture == "all",
            files=() if tree is not None else tuple(_files(source)),
            folder=None if place is None or tree is not None else place.parent.absolute(),
            tree=tree,
            base=Base(self.run.base),
            sources=tuple(_source(one, ground.of_toolchain) for one in ground.pinned.sources),
            repository=built,
            local=ground.local,
            means=Means(
                environment=dict(config.toolchain.variables()),
                build_profiles=config.toolchain.build_profiles,
                build_options=config.toolchain.build_options,
                packages=config.toolchain.packages,
                version_suffix=config.toolchain.version_suffix,
            ),
            extra_depends=row.extra_depends,
            extra_conflicts=row.extra_conflicts,
            epoch=self._epoch,
            time_limit_s=attempt.time_limit_seconds,
            memory_limit_bytes=self.machine.memory_bytes,
            parallel=self.machine.parallel,
            in_memory=self.machine.has_memory_for(attempt.memory_bytes + attempt.disk_bytes),
            pins=ground.pinned.pins,
            keyring=ground.pinned.keyring.absolute(),
            tools=ground.tools,
            store=config.store,
        )

    def _index(self, machine: str) -> Path:
        """What builds may install, written anew when somebody has changed useforbuild.

        With new results it is written by each look at the repository, before which no build waits for them: of a whole
        archive that takes seconds, too long for every single build.
        """
        repository, suite = self.ground.stages.repository(self.run.stage), self.ground.config.suite
        flags = repository.flags(suite)
        known = self._indexed.get(machine)
        if known is None or known[0] != flags:
            known = self._indexed[machine] = (flags, repository.index(suite, machine, now=self.clock()))
        return known[1]


def _files(source: SourcePackage) -> list[SourceFile]:
    prefix = f"{source.directory}/" if source.directory else ""
    return [SourceFile(path=prefix + one.name, sha256=one.sha256, size_bytes=one.size) for one in source.files]


def _source(one: Source, of_toolchain: Collection[tuple[str, str]]) -> AptSource:
    return AptSource(
        uri=one.uri, suite=one.suite, components=one.components, signed_by=one.signed_by, trusted=one.trusted,
        of_toolchain=(one.uri, one.suite) in of_toolchain,
    )  # fmt: skip
