"""Packages the user brings along: .dsc files, unpacked source trees, .debs. They supersede whatever the archive has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from debian.changelog import Changelog
from debian.deb822 import Deb822
from debian.debfile import DebFile

from image_builder.archive.indices import words
from image_builder.archive.indices.packages import binary_of
from image_builder.archive.indices.sources import source_of
from image_builder.archive.model import BinaryPackage, FileEntry, PackageListEntry, SourcePackage
from image_builder.errors import ConfigError

HINT = "a local package is a .dsc with its files beside it, a source tree with debian/ in it, or a .deb"


@dataclass(frozen=True, slots=True)
class LocalPackages:
    """What supersedes the archive, by name, with where it lies."""

    sources: Mapping[str, SourcePackage]
    binaries: Mapping[str, BinaryPackage]
    source_places: Mapping[str, Path]  # source -> its .dsc or its tree
    binary_places: Mapping[str, Path]  # binary package -> its .deb


NOTHING_LOCAL = LocalPackages({}, {}, {}, {})


def read_local(paths: Iterable[Path]) -> LocalPackages:
    """Read each by what it is. Raises ConfigError for what is none of the three, or two of one name."""
    sources: dict[str, SourcePackage] = {}
    binaries: dict[str, BinaryPackage] = {}
    source_places: dict[str, Path] = {}
    binary_places: dict[str, Path] = {}
    for path in paths:
        if path.suffix in (".deb", ".udeb") and path.is_file():
            binary = read_deb(path)
            _once(binary.name, binary_places, path)
            binaries[binary.name] = binary
        elif path.is_dir() or (path.suffix == ".dsc" and path.is_file()):
            source = read_tree(path) if path.is_dir() else read_dsc(path)
            _once(source.name, source_places, path)
            sources[source.name] = source
        else:
            raise ConfigError("is no package" if path.exists() else "is not there", where=path, hint=HINT)
    return LocalPackages(sources, binaries, source_places, binary_places)


def read_dsc(path: Path) -> SourcePackage:
    """A .dsc; its files, which lie beside it, are checked. Raises ConfigError, PipelineError."""
    try:
        with path.open("rb") as f:
            fields = {str(name): str(value) for name, value in Deb822(f).items()}
    except (OSError, ValueError) as e:
        raise ConfigError(f"cannot be read: {e}", where=path, hint=HINT) from e
    # A .dsc calls Source what an index calls Package, and its files stand in its own folder.
    source = source_of({**fields, "Package": fields.get("Source", ""), "Directory": ""}, "main", str(path))
    if not source.files:
        raise ConfigError("names no file with a SHA-256", where=path, hint=HINT)
    for entry in source.files:
        if (found := _entry(path.parent / entry.name)) != entry:
            raise ConfigError(f"{entry.name} beside it has {found.size} bytes and SHA-256 {found.sha256}", where=path)
    return replace(source, files=(*source.files, _entry(path)))


def read_tree(folder: Path) -> SourcePackage:
    """An unpacked source tree, in the version of debian/changelog. Raises ConfigError, PipelineError."""
    control, changelog = folder / "debian/control", folder / "debian/changelog"
    try:
        with control.open(encoding="utf-8") as f:
            paragraphs = [dict(paragraph) for paragraph in Deb822.iter_paragraphs(f, use_apt_pkg=False)]
        with changelog.open(encoding="utf-8") as f:
            version = str(Changelog(f, max_blocks=1).version)
    except (OSError, ValueError) as e:
        raise ConfigError(f"is no source tree: {e}", where=folder, hint=HINT) from e
    head = next((p for p in paragraphs if "Source" in p), None)
    if head is None:
        raise ConfigError("has no paragraph with Source", where=control, hint=HINT)
    made = tuple(_listed(p, head) for p in paragraphs if "Package" in p)
    stanza = {
        **{name: value for name, value in head.items() if name.startswith("Build-")},
        "Package": head["Source"],
        "Version": version,
        "Section": head.get("Section", ""),
        "Priority": head.get("Priority", ""),
        "Architecture": " ".join(_built_for(made)),
        "Binary": ", ".join(entry.name for entry in made),
    }
    return replace(source_of(stanza, "main", str(control)), package_list=made)


def read_deb(path: Path) -> BinaryPackage:
    """A finished .deb. Raises ConfigError, PipelineError."""
    try:
        with DebFile(path) as deb:
            fields = {str(name): str(value) for name, value in deb.debcontrol().items()}
    except Exception as e:  # python-debian lets through what tarfile, lzma and its own ar reader raise
        raise ConfigError(f"is no .deb: {e}", where=path, hint=HINT) from e
    entry = _entry(path)
    fields |= {"Filename": entry.name, "Size": str(entry.size), "SHA256": entry.sha256}
    return binary_of(fields, "main", str(path))


def _once(name: str, places: dict[str, Path], path: Path) -> None:
    if name in places:
        raise ConfigError(f"{name} is given twice, also as {places[name]}", where=path)
    places[name] = path


def _listed(paragraph: Mapping[str, str], head: Mapping[str, str]) -> PackageListEntry:
    return PackageListEntry(
        name=words.package_name(paragraph["Package"], "debian/control"),
        kind=paragraph.get("Package-Type", "deb"),
        section=paragraph.get("Section", head.get("Section", "")),
        priority=paragraph.get("Priority", head.get("Priority", "")),
        architectures=tuple(paragraph.get("Architecture", "").split()),
        profiles=paragraph.get("Build-Profiles", ""),
        essential=paragraph.get("Essential", "") == "yes",
    )


def _built_for(made: Iterable[PackageListEntry]) -> list[str]:
    """The field Architecture, as dpkg-source writes it: "any" swallows the others, "all" stands beside them."""
    named = {word for entry in made for word in entry.architectures}
    real = ["any"] if "any" in named else sorted(named - {"all"})
    return real + (["all"] if "all" in named else [])


def _entry(path: Path) -> FileEntry:
    try:
        with path.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        return FileEntry(path.name, path.stat().st_size, digest)
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror or e}", where=path, hint=HINT) from e
