"""A folder as a place to publish to."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from image_builder.errors import SurroundingsError


class FolderPlace:
    """Files are links to what they are made from where the file system allows it, else copies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where = folder, str(folder)
        self._parts = folder / ".parts"

    @contextmanager
    def locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("a")
        except OSError as e:
            raise SurroundingsError(f"cannot be locked: {e.strerror or e}", where=self.folder) from e
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(self._parts, ignore_errors=True)  # of one that was killed
            yield
            shutil.rmtree(self._parts, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, name: str, data: bytes) -> None:
        with self._written(name) as part, part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def put_all(self, files: Mapping[str, Path], *, lasting: bool) -> None:
        for name, path in files.items():
            with self._written(name) as part:
                # A link is good for what never changes; the rest is written anew in the place it comes from.
                if not (lasting and _linked(path, part)):
                    shutil.copyfile(path, part)
                    with part.open("rb") as file:
                        os.fsync(file.fileno())

    def remove(self, names: Collection[str]) -> None:
        folders = set()
        for name in names:
            path = self.folder / name
            with suppress(FileNotFoundError):
                path.unlink()
            folders.add(path.parent)
        for folder in sorted(folders, key=lambda path: -len(path.parts)):
            for empty in (folder, *folder.parents):
                if not empty.is_relative_to(self.folder) or empty == self.folder:
                    break
                try:
                    empty.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:  # not empty
                    break

    def listing(self, prefix: str) -> dict[str, int]:
        top = self.folder / prefix.rpartition("/")[0]
        found = {}
        for base, folders, files in os.walk(top):
            if Path(base) == self.folder and ".parts" in folders:
                folders.remove(".parts")
            for file in files:
                path = Path(base, file)
                name = path.relative_to(self.folder).as_posix()
                if name.startswith(prefix):
                    found[name] = path.lstat().st_size
        return found

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        """A temporary name on the same file system, renamed at the end of the block."""
        target = self.folder / name
        part = self._parts / target.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._parts.mkdir(exist_ok=True)
            part.unlink(missing_ok=True)
            yield part
            part.chmod(0o644)
            part.rename(target)  # does nothing where both are one file already; the second name goes below
        except OSError as e:
            hint = "free some room" if e.errno == errno.ENOSPC else ""
            raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=target, hint=hint) from e
        finally:
            with suppress(OSError):
                part.unlink()


def _linked(path: Path, target: Path) -> bool:
    try:
        os.link(path, target)
    except OSError as e:
        if e.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    return True
