"""Takes artefacts out of the layers that made them, and puts them into the build's folder.

Of two targets' files with one name the content must be the same; what was not asked for by a `provides`
of a target that has some is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_builder.errors import PipelineError
from image_builder.layers.digest import digest
from image_builder.run import run


@dataclass(frozen=True)
class Artefact:
    """One published file, or folder, which has a digest of its tree instead. target: the first that made it."""

    name: str
    size_bytes: int
    sha256: str
    source: Path
    target: str
    tree_sha256: str = ""

    @property
    def is_folder(self) -> bool:
        return not self.sha256


def found_in(diff: Path) -> list[dict[str, Any]]:
    """The files livecd.* at the top of a layer, hashed: [{"name", "size_bytes", "sha256"}].

    A folder has the size of all files in it, an empty sha256, and "tree_sha256" (see layers.digest). Symlinks are
    no artefacts: builders collect regular files only.
    """
    found = []
    for entry in sorted(os.scandir(diff), key=lambda e: e.name):
        if not entry.name.startswith("livecd.") or entry.is_symlink():
            continue
        if entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as f:  # noqa: PTH123 (an entry of scandir has its path as text)
                sha256 = hashlib.file_digest(f, "sha256").hexdigest()
            found.append({"name": entry.name, "size_bytes": entry.stat().st_size, "sha256": sha256})
        elif entry.is_dir(follow_symlinks=False):
            folder = Path(entry.path)
            # Made where a folder of the layers below is continued, it is marked so: of the layer, not of the artefact.
            with suppress(OSError):
                os.removexattr(folder, "trusted.overlay.opaque")
            size, tree = folder_size(folder), digest(folder)
            found.append({"name": entry.name, "size_bytes": size, "sha256": "", "tree_sha256": tree})
    return found


def folder_size(folder: Path) -> int:
    """Bytes in all files of a folder; hard links count once."""
    total = 0
    linked: set[int] = set()
    for base, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(f"{base}/{name}")
            if stat.S_ISREG(status.st_mode) and status.st_ino not in linked:
                total += status.st_size
                if status.st_nlink > 1:
                    linked.add(status.st_ino)
    return total


def of_target(target: str, layers: Sequence[tuple[Path, Mapping[str, Any]]], provides: Sequence[str]) -> list[Artefact]:
    """A target's artefacts: the newest of each name in its layers, lowest first, cut down to what it provides.

    layers: (diff, meta). provides: names; empty keeps everything.
    """
    found: dict[str, Artefact] = {}
    for diff, meta in layers:
        for made in meta.get("artefacts", ()):
            name = str(made["name"])
            tree = str(made.get("tree_sha256", ""))
            found[name] = Artefact(name, int(made["size_bytes"]), str(made["sha256"]), diff / name, target, tree)
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
            if other.source == artefact.source:
                continue
            if artefact.is_folder and other.is_folder:
                if not artefact.tree_sha256 or other.tree_sha256 != artefact.tree_sha256:
                    clashes[artefact.name] = f"{artefact.name}: {other.target} and {target} made different folders"
            elif (other.sha256, other.size_bytes) != (artefact.sha256, artefact.size_bytes):
                clashes[artefact.name] = f"{artefact.name}: {other.target} and {target} made different files"
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
