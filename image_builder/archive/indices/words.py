"""What a name, a version and a path of an index may look like; all else is refused before it names a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from image_builder.archive.model import FileEntry
from image_builder.errors import PipelineError

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_VERSION = re.compile(r"[0-9]+:[A-Za-z0-9][A-Za-z0-9.+~:-]*|[A-Za-z0-9][A-Za-z0-9.+~-]*")
_ARCHITECTURE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CHECKSUM = re.compile(r"([0-9a-f]{64})[ \t]+([0-9]+)[ \t]+([^\s/]+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")

is_name = _NAME.fullmatch
is_version = _VERSION.fullmatch


def package_name(text: str, where: str) -> str:
    """The name, if it is one by policy 5.6.1. Raises PipelineError."""
    return _checked(text, _NAME.fullmatch, "a package name", where)


def version(text: str, where: str) -> str:
    """The version, if it is one by policy 5.6.12. Raises PipelineError."""
    return _checked(text, _VERSION.fullmatch, "a version", where)


def architectures(text: str, where: str) -> tuple[str, ...]:
    """The words of a field Architecture. Raises PipelineError for none, and for what is no architecture."""
    words = tuple(text.split())
    for word in words or ("",):
        _checked(word, _ARCHITECTURE.fullmatch, "an architecture", where)
    return words


def relative_path(text: str, where: str) -> str:
    """A path below the archive's root. Raises PipelineError for one that leads out of it."""
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or "\0" in text:
        raise PipelineError(f"names the path {text!r}, which leads out of the archive", where=where)
    return text


def files(text: str, where: str) -> tuple[FileEntry, ...]:
    """The lines of Checksums-Sha256: SHA-256, size, a name without folders. Raises PipelineError for any other."""
    entries = []
    for line in text.split("\n"):
        if not (line := line.strip()):
            continue
        match = _CHECKSUM.fullmatch(line)
        if match is None or match[3] in (".", ".."):
            raise PipelineError(f"has the checksum line {line!r}, which names no file", where=where)
        entries.append(FileEntry(match[3], int(match[2]), match[1]))
    return tuple(entries)


def one_file(name: str, size: str, sha256: str, where: str) -> FileEntry | None:
    """The file of a binary package; None for a stanza without one. Raises PipelineError."""
    if not name:
        return None
    if not size.isdecimal() or not _SHA256.fullmatch(sha256):
        raise PipelineError(f"names {name!r} without its size or SHA-256", where=where)
    return FileEntry(relative_path(name, where), int(size), sha256)


def place(path: Path, package: str) -> str:
    """Where an error is: the index, and the stanza in it."""
    return f"{path}, {package or 'a stanza without Package'}"


def _checked(text: str, fits: Callable[[str], object], what: str, where: str) -> str:
    if not fits(text):
        raise PipelineError(f"has {text!r} where {what} should stand", where=where)
    return text
