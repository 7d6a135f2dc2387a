"""Care for a content store: who uses it, whether it is sound, what may go when it has grown too large."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import SurroundingsError
from proxy.archive.frozen import FrozenSet
from proxy.blobs import USED_S, Blobs

Progress = Callable[[int, int], object]  # (bytes done, bytes in all); called from several threads


@dataclass(frozen=True)
class Damaged:
    """A file whose content is not the one its name says."""

    path: Path
    found: str  # SHA-256 of what it holds


@dataclass(frozen=True)
class Pruned:
    """What a pruning did, in bytes. left_bytes may be above the limit when the rest is in use or kept."""

    removed: tuple[str, ...]
    freed_bytes: int
    left_bytes: int


class Use:
    """Somebody's use of a store, for as long as it lasts. Until it is said of what, nothing at all is pruned."""

    def __init__(self, held: int) -> None:
        """held: the descriptor of its file, which is locked."""
        self._held = held

    def of(self, frozen: Path) -> None:
        """Of what this frozen set names, also what nobody has asked for yet: from now on other files may go."""
        os.write(self._held, os.fsencode(frozen.absolute()) + b"\n")


@contextmanager
def in_use(store: Blobs, frozen: Path | None = None) -> Iterator[Use]:
    """What is used in this block, or may yet be, is not pruned meanwhile; a killed process uses nothing any more.

    frozen: as for Use.of(). Raises SurroundingsError.
    """
    folder = _users(store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held, path = _user(folder)
    except OSError as e:
        raise SurroundingsError(f"the store cannot be written: {e.strerror or e}", where=folder) from e
    try:
        use = Use(held)
        if frozen is not None:
            use.of(frozen)
        yield use
    finally:
        path.unlink(missing_ok=True)
        os.close(held)


def _user(folder: Path) -> tuple[int, Path]:
    """A file of a user's own, locked: its descriptor and its place. Its first line says since when."""
    while True:
        held, name = tempfile.mkstemp(dir=folder)
        os.write(held, f"{time.time()}\n".encode())
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held).st_nlink:
            return held, Path(name)
        os.close(held)  # a pruning found it not yet locked, and took its process for gone


def busy(store: Blobs) -> bool:
    """Whether anybody uses it now."""
    return bool(_now(store))


def verify(store: Blobs, *, jobs: int = 2, progress: Progress | None = None) -> list[Damaged]:
    """Read every file; those that are damaged are removed, so that they are fetched anew, and returned."""
    files = sorted(path for path in store.folder.glob("*") if path.is_file())
    total, done = sum(path.stat().st_size for path in files), 0

    def check(path: Path) -> Damaged | None:
        nonlocal done
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:  # pruned meanwhile
            return None
        done += path.stat().st_size
        if progress:
            progress(done, total)
        if found == path.name:
            return None
        path.unlink(missing_ok=True)
        return Damaged(path, found)

    with ThreadPoolExecutor(jobs) as pool:
        return [bad for bad in pool.map(check, files) if bad is not None]


def prune(store: Blobs, max_bytes: int, *, keep: Collection[str] = (), dry_run: bool = False) -> Pruned:
    """Remove what was not used for longest until the rest has at most max_bytes.

    keep: hashes that stay in any case: FrozenSet.hashes() of the locks to keep. What somebody uses stays too, all that
    the frozen sets of users name, and what has another name elsewhere (a mirror's folder, a running step): removing it
    would free nothing. Raises SurroundingsError.
    """
    files = []
    for path in store.folder.glob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        files.append((max(status.st_atime, status.st_mtime), path, status.st_blocks * 512, status.st_nlink))
    total = sum(size for _, _, size, _ in files)
    removed: list[str] = []
    freed = 0
    users = _now(store) if total > max_bytes else []
    if not all(frozen for _, frozen in users):  # of one of them nobody knows yet what it needs
        files.clear()
    busy_since = min((since for since, _ in users), default=float("inf"))
    keep = {*keep, *_named({path for _, frozen in users for path in frozen}, store)}
    for used, path, size, links in sorted(files):
        if total - freed <= max_bytes:
            break
        if path.name in keep or links > 1 or used >= busy_since - USED_S:
            continue
        if not dry_run:
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                raise SurroundingsError(e.strerror or str(e), where=path) from e
        removed.append(path.name)
        freed += size
    if not dry_run:
        _drop_old_parts(store)
    return Pruned(tuple(removed), freed, total - freed)


def _now(store: Blobs) -> list[tuple[float, list[Path]]]:
    """Who uses it now: when each began (what it used since has a later time), and its frozen sets."""
    found = []
    for path in _users(store).glob("*"):
        try:
            held = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)  # its process is gone
        except BlockingIOError:
            since, *frozen = os.pread(held, 1 << 20, 0).splitlines()
            found.append((float(since), [Path(os.fsdecode(name)) for name in frozen]))
        finally:
            os.close(held)
    return found


def _named(frozen: Collection[Path], store: Blobs) -> set[str]:
    """All that these frozen sets name. Raises SurroundingsError for one that cannot be read: in doubt nothing goes."""
    found: set[str] = set()
    for path in frozen:
        opened = FrozenSet(path, store.folder.parent)
        try:
            found |= opened.hashes()
        finally:
            opened.close()
    return found


def _drop_old_parts(store: Blobs) -> None:
    """Remove what came of files that nobody brings any more: they may never be wanted again."""
    for path in store.folder.parent.glob("coming/*.part"):
        part = store.claim(path.stem, None)
        if part is not None:
            with part:
                part.restart()


def _users(store: Blobs) -> Path:
    return store.folder.parent / "users"
