"""A hook that names the files of the tree it is made from: while these are as they were, so is its result.

Its key says that something below has changed, and cannot say that nothing of it matters to this hook. That is found
out when the step is due: a digest of those files and of its other inputs leads to the layer made from the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from image_builder.layers import Layer, Store
from image_builder.live_build.recipe import Work
from image_builder.plan.tree import StepSpec
from image_builder.run import run

KIND = "unchanged"  # in the store: digest -> key of the layer


def question(spec: StepSpec, layers: Sequence[Path], *, tools: str) -> str | None:
    """What a step's result hangs on, as SHA-256 (hex); None when its hook names no files or none is there.

    layers: the directories below it, lowest first. tools: the digest of the tool root, whose programs it runs.
    """
    work: Work = spec.work
    if not work.tree:
        return None
    files = seen(layers, work.tree)
    if not files:
        return None
    hashed = {}
    for path, source in files.items():
        with source.open("rb") as f:
            hashed[path] = [stat.S_IMODE(source.stat().st_mode), hashlib.file_digest(f, "sha256").hexdigest()]
    asked = {"tools": tools, "inputs": dict(spec.inputs), "files": hashed}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def seen(layers: Sequence[Path], patterns: Sequence[str]) -> Mapping[str, Path]:
    """The files a stack of layers shows under these patterns: path in the tree -> the file in its layer. Sorted.

    patterns: `FOLDER/NAME`, wildcards in the name only. A file of a higher layer hides that of a lower one, and so
    does a whiteout; a folder that was removed or replaced hides all of the lower ones.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        folder, _, name = pattern.rpartition("/")
        parts = [Path(folder), *Path(folder).parents][:-1]
        hidden: set[str] = set()
        for layer in reversed(layers):
            for entry in os.scandir(layer / folder) if (layer / folder).is_dir() else ():
                if entry.name not in hidden and fnmatchcase(entry.name, name):
                    hidden.add(entry.name)
                    if entry.is_file(follow_symlinks=False):
                        found[f"{folder}/{entry.name}"] = Path(entry.path)
            if any(_ends_here(layer / part) for part in parts):
                break
    return dict(sorted(found.items()))


def _ends_here(folder: Path) -> bool:
    """Does a layer hide this folder of the layers below it?"""
    return os.path.lexists(folder) and (not folder.is_dir() or _is_opaque(folder))


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def before(store: Store, asked: str | None) -> Layer | None:
    """The layer made from the same files earlier, if it is still stored."""
    key = store.recall(KIND, asked) if asked else None
    return store.get(key) if isinstance(key, str) else None


def take_over(layer: Layer, diff: Path) -> None:
    """Fill an empty diff with an earlier layer's content."""
    run(["cp", "--archive", "--reflink=auto", "--sparse=always", f"{layer.diff}/.", diff], hint="is the disk full?")


def note(store: Store, asked: str | None, key: str) -> None:
    """Remember which layer was made from these files."""
    if asked:
        store.remember(KIND, asked, key)
