"""Temporary folders in memory for tests that are not about the disk: most of what they wait for is fsync."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 1 << 30  # the tests that need no root hold a tenth of it at a time


def use(config: pytest.Config) -> None:
    """Put the temporary folders of a run without root tests into memory, where there is room.

    Root tests stay on the disk: they fill it with images, and are about what a disk, its locks and its overlays do.
    """
    if config.option.basetemp is None and "not root" in config.option.markexpr and _fits():
        os.environ["TMPDIR"] = os.fspath(MEMORY)
        tempfile.tempdir = None  # asked for once, and remembered


def _fits() -> bool:
    """Containers have as little as 64 MB there, where no program may be started."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    unfit = os.ST_NOEXEC | os.ST_RDONLY
    return MEMORY.is_mount() and not found.f_flag & unfit and found.f_bavail * found.f_frsize >= ENOUGH_BYTES
