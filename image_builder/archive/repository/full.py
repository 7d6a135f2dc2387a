"""The tree of hard links: what is there is compared with what should be, and only the difference is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import SurroundingsError


@dataclass(frozen=True, slots=True)
class Changes:
    """linked, removed: how many names of the tree were touched."""

    linked: int = 0
    removed: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.linked + other.linked, self.removed + other.removed)


def scan(folder: Path | str) -> dict[str, int]:
    """Names in a folder -> inode; empty for one that is not there."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.inode() for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def identity(folder: Path | str) -> str:
    """Another text whenever a name comes, goes or is replaced in a folder; "" for one that is not there."""
    try:
        status = Path(folder).stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def bring_about(
    folder: Path, there: Mapping[str, int], wanted: Mapping[str, int], origin: Callable[[str], str]
) -> Changes:
    """Link what is wanted and not there, replace what leads elsewhere, remove the rest.

    there: names -> inode, all of them that may be touched. wanted: what shall be there instead. origin: the file a
    wanted name is a link to. Each name is changed by one rename: readers see the old file or the new one. Raises
    SurroundingsError, FileNotFoundError when an origin is gone.
    """
    linked = removed = 0
    top = os.fspath(folder)  # strings, not paths: there may be 134,000 of them
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, inode in wanted.items():
            old = there.get(name)
            if old == inode:
                continue
            linked += 1
            if old is None:
                os.link(origin(name), f"{top}/{name}")
                continue
            part = f"{top}/.{name}.part"
            with suppress(FileNotFoundError):
                Path(part).unlink()
            os.link(origin(name), part)
            Path(part).rename(f"{top}/{name}")
        removed = _remove(folder, (name for name in there if name not in wanted))
    except FileNotFoundError:
        raise
    except OSError as e:
        hint = "results and repository have to be on one file system: the repository is links" if e.errno == 18 else ""
        raise SurroundingsError(f"cannot be linked: {e.strerror or e}", where=folder, hint=hint) from e
    return Changes(linked, removed)


def _remove(folder: Path, names: Iterable[str]) -> int:
    count = 0
    for name in names:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
            count += 1
    return count
