"""A hooks.d folder as the resolver sees it: texts of series files, and what stands at a path."""

from __future__ import annotations

import errno
import os
import stat

from image_builder.series.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE, MISSING, OUTSIDE, FOLDER, OTHER = "file", "missing", "outside", "folder", "other"
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
SERIES_BYTES = 16 << 20  # far above any real one; what is larger is no series file


class Tree:
    """A tree that is a value.

    texts: path below hooks.d -> text. kinds: path -> kind, for what is no plain file.
    Paths are normalised ("base/series/x"), separated by "/".
    """

    def __init__(self, texts: Mapping[str, str], kinds: Mapping[str, str] | None = None) -> None:
        self._texts, self._kinds = texts, kinds or {}

    name = "hooks.d"  # for messages

    def text(self, path: str) -> str:
        """The text of a file. Raises OSError where it cannot be read."""
        return self._texts[path]

    def kind(self, path: str) -> str:
        """What a path leads to, links followed: FILE, MISSING (dangling too), OUTSIDE of hooks.d, FOLDER, OTHER."""
        return self._kinds.get(path) or (FILE if path in self._texts else MISSING)

    def names(self, folder: str) -> list[str]:
        """Names in a folder by code point; a folder that is not there is an empty one."""
        start = f"{folder}/" if folder else ""
        paths = [path[len(start) :] for path in (*self._texts, *self._kinds) if path.startswith(start)]
        return sorted({path for path in paths if "/" not in path})


class Folder(Tree):
    """A tree on disk, read as far as it is asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__({})
        self.name = os.fspath(path)
        self._root = os.path.realpath(path)
        self._folders: dict[str, str | None] = {}

    def is_there(self) -> bool:
        return os.path.isdir(self._root)

    def text(self, path: str) -> str:
        with open(f"{self._root}/{path}", "rb") as file:
            data = file.read(SERIES_BYTES + 1)
        if len(data) > SERIES_BYTES:
            raise OSError(errno.EFBIG, f"larger than {SERIES_BYTES >> 20} MiB, no series file")
        # As file names are decoded: a name that is no UTF-8 comes back as the same bytes.
        return os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))

    def kind(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._inside(f"{self._root}/{folder}")
        real = self._folders[folder]
        if real is None:
            return OUTSIDE
        try:
            mode = os.lstat(f"{real}/{name}").st_mode
            if stat.S_ISLNK(mode):
                target = self._inside(f"{real}/{name}")
                if target is None:
                    return OUTSIDE
                mode = os.stat(target).st_mode
        except OSError as e:
            if e.errno in NOT_THERE:
                return MISSING
            raise
        return FILE if stat.S_ISREG(mode) else FOLDER if stat.S_ISDIR(mode) else OTHER

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(f"{self._root}/{folder}"))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _inside(self, path: str) -> str | None:
        real = os.path.realpath(path)
        return real if real == self._root or real.startswith(self._root.rstrip("/") + "/") else None
