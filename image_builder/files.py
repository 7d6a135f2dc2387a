"""Files that appear whole or not at all, and belong to the user who called sudo; sizes as people write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from image_builder.errors import SurroundingsError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def write_whole(path: Path, content: str | bytes) -> None:
    """Write, sync, rename; text as UTF-8. Raises SurroundingsError: the disk is full, the place cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    try:
        with part.open("wb") as f:
            f.write(data)
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


def in_bytes(text: str) -> int:
    """A size: "20G", "512MiB", "1.5T", "0". Raises ValueError.

    >>> in_bytes("1.5k")
    1536
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 20G or 512M")
    return int(float(match[1]) * _UNITS[match[2].upper()])
