"""Sources and binaries in a line each."""

from __future__ import annotations

from image_builder.archive.indices.packages import binary_of
from image_builder.archive.indices.sources import source_of
from image_builder.archive.model import BinaryPackage, SourcePackage


def source(name: str, version: str = "1", **fields: str) -> SourcePackage:
    """fields: as in Sources, with _ for -: Build_Depends="a, b"."""
    stanza = {"Package": name, "Version": version, "Architecture": "any", "Binary": name}
    return source_of(stanza | _named(fields), "main", name)


def binary(name: str, version: str = "1", **fields: str) -> BinaryPackage:
    """fields: as in Packages, with _ for -: Depends="a, b"."""
    stanza = {"Package": name, "Version": version, "Architecture": "amd64"}
    return binary_of(stanza | _named(fields), "main", name)


def _named(fields: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in fields.items()}
