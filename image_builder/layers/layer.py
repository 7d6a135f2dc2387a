"""A finished layer, and how its directory is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from image_builder.errors import PipelineError
from image_builder.layers.files import read_json

SHORT = 16  # hex digits of the key in the names of directories; the whole key stands in meta.json and is compared


@dataclass(frozen=True)
class Layer:
    """The change one step made, kept by key.

    diff: the directory to mount as lower. meta: what the step said about itself at commit; "parent" (the key of
    the layer it was made on) and "kind" mean something to the store. size_bytes: on disk, hard links counted once.
    created, last_used: seconds since 1970; only their order is used.
    """

    key: str
    diff: Path
    meta: Mapping[str, Any]
    size_bytes: int
    created: float
    last_used: float

    @property
    def directory(self) -> Path:
        return self.diff.parent

    @property
    def digest(self) -> str | None:
        """SHA-256 over everything in it but times (see listing.digest), None until it has been computed."""
        text = read_json(self.directory / "digest.json")
        return text if isinstance(text, str) else None


def checked(key: str) -> str:
    """Return key if it is one: 64 lower-case hex digits. Names of files are made of it."""
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise PipelineError("not a key of 64 hex digits", where=repr(key))
    return key


def read(directory: Path) -> tuple[Layer | None, str]:
    """Read one layer directory. Without a layer, says what is wrong with it."""
    about = read_json(directory / "meta.json")
    try:
        key, meta = checked(about["key"]), about["meta"]
        size, created, boot = int(about["size_bytes"]), float(about["created"]), about["boot"]
        used = (directory / "used").stat().st_mtime
    except (TypeError, KeyError, ValueError, PipelineError, OSError):
        return None, "meta.json or used is missing or damaged"
    diff = directory / "diff"
    if not isinstance(meta, dict) or key[:SHORT] != directory.name or not diff.is_dir():
        return None, "diff is missing or the key is another's"
    if boot != boot_id() and not (directory / "durable").exists():
        return None, "the machine went down before all of it was on the disk"
    return Layer(key, diff, meta, size, created, used), ""


@cache
def boot_id() -> str:
    """Return what is different after every start of this machine's kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
