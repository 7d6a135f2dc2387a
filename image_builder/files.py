"""Files that appear whole or not at all, and belong to the user who called sudo."""

from __future__ import annotations

import os
from pathlib import Path

from image_builder.errors import SurroundingsError


def write_whole(path: Path, text: str) -> None:
    """Write, sync, rename. Raises SurroundingsError when the disk is full or the place cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", errors="surrogateescape") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        part.replace(path)
    except OSError as e:
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=path) from e
    finally:
        part.unlink(missing_ok=True)


def give_to_caller(place: Path, environ: dict[str, str] | None = None) -> None:
    """Make a file, or a folder and all in it, the property of who called sudo; nothing to do without sudo.

    Only what root made is given away, and links themselves, never what they point to.
    """
    environ = dict(os.environ) if environ is None else environ
    uid, gid = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not (uid.isdigit() and gid.isdigit()):
        return
    inside = (f"{base}/{name}" for base, folders, names in os.walk(place) for name in folders + names)
    for path in (os.fspath(place), *inside):
        if os.lstat(path).st_uid == 0:
            os.lchown(path, int(uid), int(gid))
