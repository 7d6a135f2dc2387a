"""Takes artefacts out of the layers that made them, and puts them into the build's folder.

Of two targets' files with one name the content must be the same; what was not asked for by a `provides`
of a target that has some is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_builder.errors import PipelineError
from image_builder.run import run


@dataclass(frozen=True)
class Artefact:
    """One published file (or folder, which has no digest). target: the first that made it."""

    name: str
    size_bytes: int
    sha256: str
    source: Path
    target: str

    @property
    def is_folder(self) -> bool:
        return not self.sha256


def found_in(diff: Path) -> list[dict[str, Any]]:
    """The files livecd.* at the top of a layer, hashed: [{"name", "size_bytes", "sha256"}]; folders have no sha256.

    Symlinks are no artefacts: builders collect regular files only.
    """
    found = []
    for entry in sorted(os.scandir(diff), key=lambda e: e.name):
        if not entry.name.startswith("livecd.") or entry.is_symlink():
            continue
        if entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as f:  # noqa: PTH123 (an entry of scandir has its path as text)
                digest = hashlib.file_digest(f, "sha256").hexdigest()
            found.append({"name": entry.name, "size_bytes": entry.stat().st_size, "sha256": digest})
        elif entry.is_dir(follow_symlinks=False):
            found.append({"name": entry.name, "size_bytes": 0, "sha256": ""})
    return found


def of_target(target: str, layers: Sequence[tuple[Path, Mapping[str, Any]]], provides: Sequence[str]) -> list[Artefact]:
    """A target's artefacts: the newest of each name in its layers, lowest first, cut down to what it provides.

    layers: (diff, meta). provides: names; empty keeps everything.
    """
    found: dict[str, Artefact] = {}
    for diff, meta in layers:
        for made in meta.get("artefacts", ()):
            name = str(made["name"])
            found[name] = Artefact(name, int(made["size_bytes"]), str(made["sha256"]), diff / name, target)
        for name in list(found):
            if _is_whiteout(diff / name):
                del found[name]
    return [a for a in found.values() if not provides or a.name in provides]


def _is_whiteout(path: Path) -> bool:
    try:
        return path.is_char_device() and path.lstat().st_rdev == 0
    except OSError:
        return False


class ClashError(PipelineError):
    """Targets made different files of one name. names: those."""

    def __init__(self, clashes: Mapping[str, str]) -> None:
        self.names = frozenset(clashes)
        what = "\n".join(clashes.values())
        super().__init__(what, where="artefacts", hint="give them different names, or build the targets separately")


def join(by_target: Mapping[str, Sequence[Artefact]]) -> list[Artefact]:
    """All targets' artefacts, each name once. Raises ClashError where two of one name differ."""
    joined: dict[str, Artefact] = {}
    clashes: dict[str, str] = {}
    for target, artefacts in by_target.items():
        for artefact in artefacts:
            other = joined.setdefault(artefact.name, artefact)
            if (other.sha256, other.size_bytes) != (artefact.sha256, artefact.size_bytes):
                clashes[artefact.name] = f"{artefact.name}: {other.target} and {target} made different files"
            elif artefact.is_folder and other.source != artefact.source:
                clashes[artefact.name] = f"{artefact.name}: {other.target} and {target} each made a folder of that name"
    if clashes:
        raise ClashError(clashes)
    return [joined[name] for name in sorted(joined)]


def put(artefact: Artefact, folder: Path) -> Path:
    """Copy an artefact into the build's folder: holes stay holes, shared blocks where the file system can."""
    target = folder / artefact.name
    if target.exists():
        return target
    part = folder / f".{artefact.name}.part"
    if part.is_dir():
        shutil.rmtree(part)
    run(["cp", "--archive", "--reflink=auto", "--sparse=always", artefact.source, part], hint="is the disk full?")
    part.rename(target)
    return target


def checksums(artefacts: Sequence[Artefact]) -> str:
    """The text of SHA256SUMS."""
    return "".join(f"{a.sha256}  {a.name}\n" for a in artefacts if not a.is_folder)
