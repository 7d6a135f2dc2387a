"""Computes a digest over everything in a layer, for proof that a kept or copied one is what was made."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from image_builder.layers.files import draft
from image_builder.layers.layer import Layer, read

# What overlayfs notes for itself: where a file was copied up from (an inode number), a random name for the mount.
BY_CHANCE = {"trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid"}


def digest(tree: Path) -> str:
    """Return SHA-256 over path, type, mode, owner, extended attributes, link target, device and content.

    Times are left out, so that a layer that was copied, or made again, keeps its digest; the listing has them.
    Hard links count as files of their own.
    """
    total = hashlib.sha256()
    root = os.fsencode(tree)  # bytes: a name in a layer may be no UTF-8
    pending = [b""]
    while pending:
        relative = pending.pop()
        path = root + b"/" + relative
        status = os.lstat(path)
        parts = [relative, b"%o %d %d" % (status.st_mode, status.st_uid, status.st_gid)]
        for name in sorted({*os.listxattr(path, follow_symlinks=False)} - BY_CHANCE):
            parts += [os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)]
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            with open(path, "rb") as file:  # noqa: PTH123
                parts.append(hashlib.file_digest(file, "sha256").digest())
        elif kind == stat.S_IFLNK:
            parts.append(os.readlink(path))  # noqa: PTH115
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            parts.append(b"%d" % status.st_rdev)
        elif kind == stat.S_IFDIR:
            names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
            pending += [relative + b"/" + name if relative else name for name in names]
        # Each part with its length, so that no two trees give the same bytes.
        total.update(b"".join(b"%d:%b" % (len(part), part) for part in parts) + b"\n")
    return total.hexdigest()


def keep(layer: Layer) -> str:
    """Compute the digest of a layer and put it beside the layer; return it."""
    value = digest(layer.diff)
    with draft(layer.directory.parent.parent, layer.directory / "digest.json") as file:
        file.write(json.dumps(value).encode())
    return value


def keep_missing(store: Path) -> None:
    """Compute the digests of all layers that have none, until there is no such layer."""
    tried: set[Path] = set()
    while pending := [p for p in (store / "layers").iterdir() if p not in tried and not (p / "digest.json").exists()]:
        for place in pending:
            tried.add(place)
            layer = read(place)[0]
            if layer:
                with suppress(OSError):  # pruned meanwhile
                    keep(layer)


if __name__ == "__main__":
    keep_missing(Path(sys.argv[1]))
