"""Snap files in a folder by SHA3-384: checked when they come, whole or not at all, shared by all who use the folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from image_builder.errors import SurroundingsError


class SnapFiles:
    """partial/ beside the files holds what a download has so far, for the next one to go on with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha3_384: str) -> Path:
        """Where the file with this hash (96 hex digits) is, or would be."""
        return self.folder / sha3_384

    def partial(self, sha3_384: str) -> Path:
        return self.folder / "partial" / sha3_384

    def has(self, sha3_384: str, size_bytes: int) -> bool:
        """Whether the file is there, with this size: what is in the folder was checked when it came."""
        try:
            return self.path(sha3_384).stat().st_size == size_bytes
        except FileNotFoundError:
            return False

    def place(self, sha3_384: str, target: Path) -> None:
        """Give a file another name: a second link where the file system allows it, else a copy; whole or not at all."""
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            try:
                os.link(self.path(sha3_384), part)
            except OSError:
                shutil.copyfile(self.path(sha3_384), part)
            part.replace(target)
        except OSError as e:
            raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=target) from e
        finally:
            part.unlink(missing_ok=True)
