"""What other architectures deliver: packages for all of them, linked beside the native results of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from image_builder.archive.repository.full import Changes, bring_about, scan
from image_builder.archive.repository.names import IMPORT, import_name, package_file, split_import
from image_builder.archive.results import RECORD, STANZAS

Listing = Mapping[str, int]  # names in a folder -> inode


def exported(native: Listing) -> list[str]:
    """Of a folder of results the files that every architecture gets. What was imported is never handed on."""
    if RECORD not in native:
        return []
    files = (name for name in native if not name.startswith(IMPORT))
    return sorted(name for name in files if (said := package_file(name)) and said.architecture == "all")


def wanted(receiver: str, folders: Mapping[str, Listing]) -> dict[str, int]:
    """What a source's folder of one architecture shall have of the others: name -> inode.

    folders: architecture -> what the source's folder of that architecture holds.
    """
    found: dict[str, int] = {}
    for architecture, native in folders.items():
        if architecture == receiver or not (files := exported(native)):
            continue
        for file in (*files, RECORD, STANZAS):
            if file in native:
                found[import_name(architecture, file)] = native[file]
    return found


def bring_imports(top: Path, source: str, receivers: Iterable[str], folders: dict[str, dict[str, int]]) -> Changes:
    """Link what each receiver shall have of a source, and note it in folders. top: the suite's results."""

    def origin(name: str) -> str:
        architecture, file = split_import(name)
        return f"{top}/{architecture}/{source}/{file}"

    done = Changes()
    for receiver in receivers:
        here = folders.get(receiver, {})
        there = {name: inode for name, inode in here.items() if name.startswith((IMPORT, f".{IMPORT}"))}
        shall = wanted(receiver, folders)
        if there == shall:
            continue
        done += bring_about(top / receiver / source, there, shall, origin)
        folders[receiver] = scan(top / receiver / source)
        if not folders[receiver]:
            with suppress(OSError):
                (top / receiver / source).rmdir()
    return done
