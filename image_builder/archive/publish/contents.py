"""What is published of a suite: which file, in which component and architecture, under which name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image_builder.archive.repository.full import scan
from image_builder.archive.repository.layered import Layered
from image_builder.archive.repository.names import SUFFIXES, import_name, split_import
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.winners import Provider, winners
from image_builder.archive.results import RECORD, SOURCE, STANZAS, Result

INSTALLER = "/debian-installer"  # after a component's name: where installers look for their packages (.udeb)


@dataclass
class Contents:
    """files: name in the archive -> where it is, and its inode. lists: (section, architecture or "source") -> names.

    A section is a component, or a component and INSTALLER.
    """

    files: dict[str, tuple[Path, int]] = field(default_factory=dict)
    lists: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def components(self) -> list[str]:
        """Those that something is in, main first."""
        found = {section.removesuffix(INSTALLER) for section, _ in self.lists}
        return sorted(found, key=lambda name: (name != "main", name)) or ["main"]


def contents(repository: Repository, suite: str, components: Mapping[str, str]) -> Contents:
    """All that was built, whether or not builds may use it, one file for each name; and the sources.

    components: binary name -> component, where it is another one than the source's.
    """
    found, results = Contents(), repository.results
    for architecture in repository.architectures(suite):
        offered = winners(repository.providers(suite, architecture), lambda _: True)
        for (_, origin), providers in _by_delivery(offered.values()).items():
            place = repository.place(suite, architecture, providers[0])  # a delivery is of one stage
            delivery = _Delivery.read(place, origin)
            for one in providers:
                file = split_import(one.file)[1]
                component = components.get(one.name) or delivery.component(file)
                name = f"{delivery.folder(component)}/{file}"
                section = component + (INSTALLER if one.suffix == ".udeb" else "")
                found.files[name] = (place / one.file, one.inode)
                found.lists.setdefault((section, architecture), []).append(name)
    _add_sources(found, results, suite)
    for names in found.lists.values():
        names.sort(key=lambda name: (name.rpartition("/")[2], name))
    return found


def pool_folder(component: str, source: str, digest: str) -> str:
    """Where a delivery's files lie. digest: of what is in them, so that a name never has other bytes.

    >>> pool_folder("main", "libxml2", "0a1b2c3d4e5f60718293")
    'pool/main/libx/libxml2/0a1b2c3d4e5f'
    """
    prefix = source[:4] if source.startswith("lib") and len(source) > 3 else source[:1]
    return f"pool/{component}/{prefix}/{source}/{digest[:12]}"


@dataclass
class _Delivery:
    """What one build delivered for one source."""

    result: Result
    digest: str
    sections: Mapping[str, str]  # file -> Section of the package

    @classmethod
    def read(cls, folder: Path, origin: str) -> _Delivery:
        record, stanzas = (import_name(origin, name) if origin else name for name in (RECORD, STANZAS))
        result = Result.parse((folder / record).read_text(), where=folder / record)
        return cls(result, _digest(result, SUFFIXES), _sections(folder / stanzas))

    def component(self, file: str) -> str:
        """The one its Section begins with ("contrib/net"), else the source's."""
        component, slash, _ = self.sections.get(file, "").partition("/")
        return component if slash else self.result.component

    def folder(self, component: str) -> str:
        return pool_folder(component, self.result.source, self.digest)


def _by_delivery(offered: Iterable[Provider]) -> dict[tuple[str, str], list[Provider]]:
    found: dict[tuple[str, str], list[Provider]] = {}
    for one in offered:
        found.setdefault((one.source, one.origin), []).append(one)
    return found


def _add_sources(found: Contents, results: Layered, suite: str) -> None:
    for source in results.sources(suite, SOURCE):
        for one in reversed(results.layers):
            place = one.place(suite, SOURCE, source)
            inodes = scan(place)  # before the record: whoever links a file sees whether it is still the one meant
            result = one.read(suite, SOURCE, source)
            if result is not None:
                _add_source(found, result, place, inodes)
                break


def _add_source(found: Contents, result: Result, place: Path, inodes: Mapping[str, int]) -> None:
    folder = pool_folder(result.component, result.source, _digest(result, ("",)))
    for entry in result.files:
        found.files[f"{folder}/{entry.name}"] = (place / entry.name, inodes.get(entry.name, 0))
        if entry.name.endswith(".dsc"):
            found.lists.setdefault((result.component, SOURCE), []).append(f"{folder}/{entry.name}")


def _digest(result: Result, endings: tuple[str, ...]) -> str:
    lines = sorted(f"{entry.name} {entry.sha256}\n" for entry in result.files if entry.name.endswith(endings))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sections(path: Path) -> dict[str, str]:
    found = {}
    for stanza in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n\n"):
        file = re.search(r"(?m)^Filename: files/[0-9a-f]+-(.+)$", stanza)
        section = re.search(r"(?m)^Section: *(\S+)", stanza)
        if file and section:
            found[file[1]] = section[1]
    return found
