"""Packages indices into binary packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from image_builder.archive.indices import words
from image_builder.archive.indices.sources import flat
from image_builder.archive.indices.stanzas import stanzas
from image_builder.archive.model import BinaryPackage

RELATIONS = ("Depends", "Pre-Depends", "Provides", "Conflicts", "Breaks", "Replaces", "Recommends")
FIELDS = (
    *RELATIONS,
    "Package",
    "Version",
    "Architecture",
    "Source",
    "Section",
    "Priority",
    "Essential",
    "Build-Essential",
    "Multi-Arch",
    "Filename",
    "Size",
    "SHA256",
)

_BINARY_NMU = re.compile(r"\+b([0-9]+)$")
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


def read_packages(path: Path, component: str = "main") -> list[BinaryPackage]:
    """All stanzas of a Packages index, in its order.

    Raises PipelineError, with the stanza, for a name, version, architecture or path that cannot be one.
    """
    return [
        binary_of(stanza, component, words.place(path, stanza.get("Package", ""))) for stanza in stanzas(path, FIELDS)
    ]


def binary_of(stanza: Mapping[str, str], component: str, where: str) -> BinaryPackage:
    """The binary package of one stanza; where: for errors. Raises PipelineError."""
    get = stanza.get
    name = words.package_name(get("Package", ""), where)
    version = words.version(get("Version", ""), where)
    source, source_version = source_of_binary(name, version, get("Source", ""))
    architecture = words.architectures(get("Architecture", ""), where)
    return BinaryPackage(
        name=name,
        version=version,
        architecture=architecture[0],
        source=source,
        source_version=source_version,
        component=component,
        section=get("Section", ""),
        priority=get("Priority", ""),
        essential=get("Essential", "") == "yes",
        build_essential=get("Build-Essential", "") == "yes",
        relations={field: flat(stanza[field]) for field in RELATIONS if field in stanza},
        multi_arch=get("Multi-Arch", "no"),
        file=words.one_file(get("Filename", ""), get("Size", ""), get("SHA256", ""), where),
    )


def source_of_binary(name: str, version: str, field: str) -> tuple[str, str]:
    """The source a binary was built from, and that source's version: without "+bN" where Source does not name one."""
    match = _SOURCE.fullmatch(field)
    source, source_version = (match[1], match[2]) if match else (name, None)
    return source, source_version or _BINARY_NMU.sub("", version)


def binary_nmu(version: str) -> int:
    """N of a version's "+bN"; 0 for one without."""
    match = _BINARY_NMU.search(version)
    return int(match[1]) if match else 0
