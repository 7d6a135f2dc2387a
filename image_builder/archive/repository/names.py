"""Names of package files, and of those that another architecture delivered."""

from __future__ import annotations

import re
from dataclasses import dataclass

IMPORT = "::import::"  # ::import::ARCH::FILE, beside the native results
SUFFIXES = (".deb", ".udeb", ".ddeb")

_PACKAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)_(?P<version>[A-Za-z0-9.+~%:-]+)_(?P<architecture>[a-z0-9-]+)\Z")


@dataclass(frozen=True, slots=True)
class PackageFile:
    """What the name of a binary package's file says."""

    name: str  # of the binary package
    version: str  # as written: without epoch
    architecture: str
    suffix: str  # ".deb"


def package_file(file: str) -> PackageFile | None:
    """What NAME_VERSION_ARCH.deb says; None for a file that is no binary package.

    >>> package_file("libc6_2.36-9_amd64.deb").name
    'libc6'
    """
    for suffix in SUFFIXES:
        if file.endswith(suffix) and (match := _PACKAGE.match(file[: -len(suffix)])):
            return PackageFile(match["name"], match["version"], match["architecture"], suffix)
    return None


def import_name(architecture: str, file: str) -> str:
    return f"{IMPORT}{architecture}::{file}"


def split_import(file: str) -> tuple[str, str]:
    """Where a file came from, and its own name; "" for a native one.

    >>> split_import("::import::amd64::doc_1_all.deb")
    ('amd64', 'doc_1_all.deb')
    """
    if not file.startswith(IMPORT):
        return "", file
    architecture, _, name = file.removeprefix(IMPORT).partition("::")
    return architecture, name
