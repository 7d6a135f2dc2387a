"""Copying beforehand what a rebuild reads of the source archive: its sources, and the packages their builds install."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.relations import Groups, build_dependencies, written
from image_builder.archive.indices.sources import read_sources
from image_builder.archive.installability.offer import installed
from image_builder.archive.installability.reach import BUILD_ESSENTIAL
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.archive.pinned import Pinned
from image_builder.archive.publish.place import Place
from image_builder.errors import PipelineError
from proxy.mirror import Report, State, Want, mirror

Address = tuple[str, str]  # where a file is in its archive, and its SHA-256


def needed(
    sources: Iterable[SourcePackage],
    binaries: Sequence[BinaryPackage],
    architecture: str,
    profiles: Collection[str] = (),
) -> list[BinaryPackage]:
    """What builds of these sources install, with what is in every chroot.

    A dependency nobody gives is left out: its installability is told elsewhere.
    """
    universe = Universe(binaries, architecture)
    fields = {written(needs) for source in sources for needs in _needs(source, architecture, profiles)}
    groups = [group for field in sorted(fields) for group in universe.first_choices(field)]
    groups += [group for field in (BUILD_ESSENTIAL, "apt") for group in universe.choices(field)]
    groups += [(number,) for number, one in enumerate(universe.packages) if one.essential or one.priority == "required"]
    return [universe.packages[number] for number in sorted(installed(universe, groups))]


def addresses(
    pinned: Pinned, sources: Collection[str], architectures: Iterable[str], profiles: Collection[str] = ()
) -> list[Address]:
    """The files of these sources and of what their builds install, each once."""
    found: dict[str, str] = {}
    chosen: list[SourcePackage] = []
    for suite, component, path, _ in pinned.indices("Sources"):
        for source in read_sources(path, component):
            if source.name in sources:
                chosen.append(source)
                for file in source.files:
                    found[f"{suite.source.uri}/{source.directory}/{file.name}"] = file.sha256
    for architecture in architectures:
        offered: list[BinaryPackage] = []
        uris: dict[str, str] = {}  # by hash: files of one name may be in several archives
        for suite, component, path, _ in pinned.indices("Packages", architecture):
            for binary in read_packages(path, component):
                offered.append(binary)
                if binary.file is not None:
                    uris[binary.file.sha256] = suite.source.uri
        for binary in needed(chosen, offered, architecture, profiles):
            if binary.file is not None:
                found[f"{uris[binary.file.sha256]}/{binary.file.name}"] = binary.file.sha256
    return sorted(found.items())


def bring(
    pinned: Pinned, files: Sequence[Address], folder: Path, *, jobs: int, progress: Callable[[State], object] | None
) -> Report:
    """Copy files, with the indices that name them, into a folder: HOST/BASE/{dists,pool}, as the archive signed it.

    Goes on where an earlier call stopped. Raises like proxy.mirror.mirror().
    """
    want = Want(files=files, source_indices=True)
    return mirror(
        pinned.pins, pinned.sources, want, keyring=pinned.keyring, cache=pinned.cache, folder=folder, jobs=jobs,
        progress=progress,
    )  # fmt: skip


def hand_over(folder: Path, place: Place) -> int:
    """Write what a folder has and a place has not; the files that name others come last. How many were written."""
    with place.locked():
        there = place.listing("")
        groups: Mapping[int, dict[str, Path]] = {0: {}, 1: {}, 2: {}}
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
            name = path.relative_to(folder).as_posix()
            lasting = "/pool/" in name or "/by-hash/" in name
            if not lasting or there.get(name) != path.stat().st_size:
                last = path.name in ("InRelease", "Release", "Release.gpg")
                groups[2 if last else 0 if lasting else 1][name] = path
        for number, files in groups.items():
            place.put_all(files, lasting=number == 0)
        return sum(len(files) for files in groups.values())


def _needs(source: SourcePackage, architecture: str, profiles: Collection[str]) -> Iterator[Groups]:
    for target in (architecture, "all"):
        with suppress(PipelineError):  # what is wrong with its fields, its installability says
            yield build_dependencies(source, target, architecture, frozenset(profiles))[0]
