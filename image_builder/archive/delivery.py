"""What a builder delivered, checked before anybody relies on it: names, hashes, versions, what is in the packages."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from debian import deb822

from image_builder.archive.model import FileEntry
from image_builder.archive.repository.names import package_file
from image_builder.errors import CommandError, PipelineError
from image_builder.run import run

# Nothing hidden, no folders, nothing that looks like an import (::import::…).
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~%:_@-]*\Z")
_OURS = frozenset({"result.json", "stanzas"})  # names that the results folder gives
_INDEX_FIELDS = re.compile(r"(?im)^(filename|size|sha256|md5sum|sha1|sha512):")


class RefusedError(PipelineError):
    """What was delivered is not what was asked for."""


@dataclass(frozen=True)
class Checked:
    """Files in the order of their names. stanzas: of the binary packages, as an index has them; "" for none."""

    files: tuple[FileEntry, ...]
    stanzas: str


def listed(folder: Path) -> tuple[FileEntry, ...]:
    """All files of a folder with size and hash. Raises RefusedError for a name or kind nobody would deliver."""
    found = []
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("not a plain file", where=path, hint="a result is files, without folders and links")
        if not _PLAIN.match(path.name) or path.name in _OURS:
            raise RefusedError("a result cannot have a file of this name", where=path)
        with path.open("rb") as file:
            found.append(FileEntry(path.name, status.st_size, hashlib.file_digest(file, "sha256").hexdigest()))
    return tuple(found)


def check_binaries(
    folder: Path, *, source: str, version: str, binary_version: str, architecture: str, keyring: Path | None = None
) -> Checked:
    """What a successful build delivered.

    version: of the source; binary_version: with a binNMU's "+bN". keyring: one of its keys must have signed .changes;
    None for builders of our own. Raises RefusedError with the first thing that is wrong.
    """
    files = {entry.name: entry for entry in listed(folder)}
    changes = _changes(folder, files, keyring)
    said, _, binary_nmu_of = changes.get("Source", "").partition(" (")
    facts = (
        ("source", said, source),
        ("version", changes.get("Version", ""), binary_version),
        ("source version", binary_nmu_of.rstrip(")") or changes.get("Version", ""), version),
    )
    for what, found, wanted in facts:
        if found != wanted:
            raise RefusedError(f".changes says {what} {found!r}; asked for was {wanted!r}", where=folder)
    sums = {}
    for line in changes.get("Checksums-Sha256", ()):
        sums[line["name"]] = (line["sha256"], int(line["size"]))
    for name, (sha256, size) in sums.items():
        if (entry := files.get(name)) is None:
            raise RefusedError(f"{name} is in .changes and was not delivered", where=folder)
        if (entry.sha256, entry.size) != (sha256, size):
            raise RefusedError(f"{name} is another file than .changes says", where=folder)
    stanzas = []
    for entry in files.values():
        if entry.name.endswith((".deb", ".udeb", ".ddeb", ".buildinfo")) and entry.name not in sums:
            raise RefusedError(f"{entry.name} was delivered and is not in .changes", where=folder)
        if entry.name.endswith((".deb", ".udeb", ".ddeb")):
            stanzas.append(stanza(folder / entry.name, entry, source=source, architecture=architecture))
    return Checked(tuple(files.values()), "\n".join(stanzas))


def stanza(path: Path, entry: FileEntry, *, source: str, architecture: str) -> str:
    """A package's paragraph of an index. Raises RefusedError if the package is not what its name says."""
    said = package_file(path.name)
    try:
        text = run(["dpkg-deb", "--field", path], timeout_s=60)
    except CommandError as e:
        raise RefusedError("not a Debian package", where=path) from e
    control = deb822.Deb822(text)
    name, made_for = control.get("Package", ""), control.get("Architecture", "")
    if said is None or (said.name, said.architecture) != (name, made_for):
        raise RefusedError(f"holds the package {name!r} for {made_for!r}", where=path)
    if made_for not in (architecture, "all"):
        raise RefusedError(f"made for {made_for}; asked for was {architecture}", where=path)
    made_of = control.get("Source", name).partition(" ")[0]
    if made_of != source:
        raise RefusedError(f"made of the source {made_of!r}; asked for was {source!r}", where=path)
    if "\n\n" in text.rstrip("\n") or _INDEX_FIELDS.search(text):
        raise RefusedError("its control file has what only an index may have", where=path)
    where = f"Filename: {index_file(entry)}\nSize: {entry.size}\nSHA256: {entry.sha256}\n"
    return text.rstrip("\n") + "\n" + where


def index_file(entry: FileEntry) -> str:
    """Where a package lies beside the index of the build repository: never other bytes under one name."""
    return f"files/{entry.sha256[:16]}-{entry.name}"


def check_source(dsc: Path, *, keyring: Path | None = None) -> tuple[str, str, tuple[Path, ...]]:
    """Source, version and files (the .dsc first) of a source package whose files lie beside its .dsc.

    Raises RefusedError for a file that is missing or not the one the .dsc names.
    """
    paragraph = deb822.Dsc(_verified(dsc, keyring))
    found = [dsc]
    for line in paragraph.get("Checksums-Sha256", ()):
        path = dsc.parent / line["name"]
        if not _PLAIN.match(line["name"]) or not path.is_file():
            raise RefusedError(f"{line['name']} is in the .dsc and not beside it", where=dsc)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != line["sha256"]:
                raise RefusedError(f"{line['name']} is another file than the .dsc says", where=dsc)
        found.append(path)
    source, version = paragraph.get("Source", ""), paragraph.get("Version", "")
    if not source or not version or len(found) == 1:
        raise RefusedError("no .dsc: it names no source, version or files", where=dsc)
    return source, version, tuple(found)


def _changes(folder: Path, files: dict[str, FileEntry], keyring: Path | None) -> deb822.Changes:
    names = [name for name in files if name.endswith(".changes")]
    if len(names) != 1:
        raise RefusedError(f"{len(names)} files called .changes; one build has one", where=folder)
    return deb822.Changes(_verified(folder / names[0], keyring))


def _verified(path: Path, keyring: Path | None) -> str:
    """The text; with a keyring only what one of its keys has signed, without what may stand around that."""
    if keyring is None:
        return path.read_text(encoding="utf-8", errors="replace")
    try:
        return run(["gpgv", "--keyring", keyring.absolute(), "--output", "-", path], timeout_s=60)
    except CommandError as e:
        hint = "results of builders that are not ours have to be signed"
        raise RefusedError(f"not signed by a key of {keyring}", where=path, hint=hint) from e
