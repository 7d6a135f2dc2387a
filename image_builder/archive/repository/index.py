"""The build repository as apt reads it: one flat index, whose files never change their bytes under one name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from image_builder.archive.repository.cache import Cache
from image_builder.archive.repository.full import bring_about, scan
from image_builder.archive.repository.names import import_name, split_import
from image_builder.archive.repository.winners import Provider
from image_builder.archive.results import STANZAS
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.files import write_whole

FILES = "files"
ORIGIN = "image-builder"  # what apt in a build chroot knows it by
KEPT_S = 86_400.0  # how long a build may still fetch what its Packages named


def write_index(
    folder: Path, place: Callable[[Provider], Path], offered: Iterable[Provider], cache: Cache, now: float
) -> Path:
    """Write Packages and Release, link files/; returns folder. place: the folder of results a file lies in.

    Only .debs are in it: installers' packages (.udeb) are not for chroots. Raises SurroundingsError.
    """
    debs = sorted((one for one in offered if one.suffix == ".deb"), key=lambda one: one.name)
    paths: dict[str, tuple[int, Path]] = {}
    text = []
    for one, stanza in _stanzas(place, debs):
        text.append(stanza)
        paths[_filename(stanza).removeprefix(f"{FILES}/")] = (one.inode, place(one) / one.file)
    there = scan(folder / FILES)
    shall = {name: inode for name, (inode, _) in paths.items()}
    gone = [f"{folder.name}/{name}" for name in there if name not in shall]
    cache.retire(gone, now)
    cache.recall(f"{folder.name}/{name}" for name in shall)
    old = cache.retired(now - KEPT_S, f"{folder.name}/")
    for path in old:
        there.pop(path.partition("/")[2], None)
        (folder / FILES / path.partition("/")[2]).unlink(missing_ok=True)
    cache.recall(old)
    bring_about(folder / FILES, {n: i for n, i in there.items() if n in shall}, shall, lambda name: str(paths[name][1]))
    data = "\n".join(text).encode("utf-8", "surrogateescape")
    suite = folder.parent.name  # mmdebstrap takes essential packages from archives of the suite it was asked for
    # Nothing that changes from one writing to the next is in it: the same results are the same bytes.
    release = (
        f"Origin: {ORIGIN}\nLabel: build repository\nSuite: {suite}\nCodename: {suite}\n"
        "Date: Thu, 01 Jan 1970 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n"
    )
    write_whole(folder / "Packages", data)
    write_whole(folder / "Release", release)
    return folder


def _stanzas(place: Callable[[Provider], Path], debs: Iterable[Provider]) -> Iterator[tuple[Provider, str]]:
    """Each package with its paragraph, as it was written when its result was accepted."""
    known: dict[tuple[str, str], dict[str, str]] = {}
    for one in debs:
        key = (one.source, one.origin)
        if key not in known:
            name = import_name(one.origin, STANZAS) if one.origin else STANZAS
            known[key] = _read(place(one) / name)
        stanza = known[key].get(split_import(one.file)[1])
        if stanza is None:
            hint = "remove this result and build it anew"
            raise PipelineError(f"has no paragraph for {one.file}", where=place(one), hint=hint)
        yield one, stanza


def _read(path: Path) -> dict[str, str]:
    """File name of a package -> its paragraph."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as e:
        raise SurroundingsError(f"cannot be read: {e.strerror or e}", where=path) from e
    paragraphs = (part.strip("\n") + "\n" for part in text.split("\n\n") if part.strip())
    return {_filename(paragraph).partition("-")[2]: paragraph for paragraph in paragraphs}


def _filename(stanza: str) -> str:
    """files/PIECE-OF-HASH-NAME.deb"""
    start = stanza.rindex("\nFilename: ") + len("\nFilename: ")
    return stanza[start : stanza.index("\n", start)]
