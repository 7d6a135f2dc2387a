"""The CA of one build: seen by the steps that use the archive, and in none of the layers they make."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from image_builder.errors import PipelineError
from proxy.network.files import CA_BUNDLE, body, trusting, without

BUNDLE = Path("chroot") / CA_BUNDLE
# Where a hook can have put what it found in the bundle. All of a layer would be gigabytes to read.
SEARCHED = ("chroot/etc", "chroot/usr/local", "chroot/usr/share/ca-certificates", "chroot/var/lib/ca-certificates-java")
LARGEST_BYTES = 8 << 20
# These run in the root and pack nothing of it: what lies above its layers gets into no image.
KINDS = frozenset({"prepare", "packages", "early", "chroot"})


def lay(layers: Sequence[Path], folder: Path, ca: bytes, *, always: bool) -> bool:
    """Put the root's bundle, with the CA added, into a folder to be stacked on top of the layers, lowest first.

    Not mounted over the bundle: update-ca-certificates replaces the file, which a mount point does not allow.
    always: also where the root has no bundle. Returns whether there is one now.
    """
    found = seen(layers, BUNDLE)
    if found is None and not always:
        return False
    target = folder / BUNDLE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(trusting(found.read_bytes() if found else b"", ca))
    if found:
        shutil.copystat(found, target)
    # A folder has the mode and times of the topmost layer that has it
    for part in reversed(BUNDLE.parents[:-1]):
        below = seen(layers, part)
        if below is not None:
            status = below.stat()
            os.chown(folder / part, status.st_uid, status.st_gid)
            shutil.copystat(below, folder / part)
    return True


def seen(layers: Sequence[Path], path: Path) -> Path | None:
    """The file or folder that shows at this path when the layers, lowest first, are stacked; None: nothing does."""
    for layer in reversed(layers):
        if (layer / path).exists() and not _is_whiteout(layer / path):
            return layer / path
        for part in (*reversed(path.parents[:-1]), path):
            if _is_whiteout(layer / part) or _is_opaque(layer / part):
                return None
    return None


def take_out(diff: Path, ca: bytes) -> None:
    """Take the CA out of the bundle of a new layer, where a hook has changed it in place.

    Raises PipelineError when the CA is anywhere else in the layer's settings.
    """
    bundle = diff / BUNDLE
    if bundle.is_file() and not bundle.is_symlink():
        data = bundle.read_bytes()
        if (cleaned := without(data, ca)) != data:
            status = bundle.stat()
            bundle.write_bytes(cleaned)
            os.utime(bundle, ns=(status.st_atime_ns, status.st_mtime_ns))
    if found := _holding(diff, ca):
        raise PipelineError(
            "the CA of this build's proxy got into the image",
            where=", ".join(str(path.relative_to(diff)) for path in found),
            hint="a step copied the certificates it saw; they are those of the build, not of the image",
        )


def _holding(diff: Path, ca: bytes) -> list[Path]:
    signs = [body(ca), _der(ca)]
    found = []
    for top in SEARCHED:
        for folder, _, names in os.walk(diff / top):
            for name in names:
                path = Path(folder, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= LARGEST_BYTES:
                    data = path.read_bytes()
                    if any(sign in data for sign in signs):
                        found.append(path)
    return sorted(found)


def _der(ca: bytes) -> bytes:
    """A part of the certificate as Java and others keep it."""
    text = re.sub(rb"-----[^-]*-----|\s", b"", ca)
    whole = base64.b64decode(text)
    return whole[len(whole) // 2 :]


def _is_whiteout(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
