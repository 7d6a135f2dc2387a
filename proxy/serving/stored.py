"""Files of the store about to be sent: looked at once more, while they are on their way."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from proxy.blobs import Blobs

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 64 << 10  # a file this small is looked at before its first byte leaves
MEANWHILE_BYTES = 1 << 20  # and one this small by whoever sends it, when all but its end is out
PIECE_BYTES = 256 << 10  # stays in the processor's cache
CHECKED = "user.image-builder.checked"  # an attribute of the file: which state of it was hashed, and when
CHECKED_S = 7 * 86_400.0  # after this a disk may have lost what nobody has written

Check = Callable[[float], bool]  # whether the file is right; waits for so many seconds at most, then TimeoutError


class Opened(NamedTuple):
    """A file to be sent."""

    descriptor: int
    size_bytes: int
    check: Check | None  # still to be made; None: it was looked at
    data: bytes | None  # all of it, if it is small


class Stored:
    """Opens files of the store. Each is hashed when something has written to it since it was last found right, and
    once a week, for a disk may lose what nobody has touched. Where a disk keeps no notes: once per run."""

    def __init__(self, store: Blobs, jobs: int = 2) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="check")
        self._known: dict[tuple[int, int], tuple[int, int]] = {}  # device, inode -> when changed, size
        self._lock = threading.Lock()

    def open(self, sha256: str, size_bytes: int | None = None) -> Opened:
        """Raises FileNotFoundError, also for a file of another size, and for a small one that was found to be damaged
        and is removed now."""
        descriptor = os.open(self._store.path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if size_bytes not in (None, found.st_size):
                raise FileNotFoundError(sha256)
            return self._opened(sha256, descriptor, found)
        except BaseException:
            os.close(descriptor)
            raise

    def _opened(self, sha256: str, descriptor: int, found: os.stat_result) -> Opened:
        self._store.use(sha256, found)
        size = found.st_size
        with self._lock:
            known = self._known.get((found.st_dev, found.st_ino)) == (found.st_mtime_ns, size)
        known = known or _noted(descriptor, found)
        if size <= AT_ONCE_BYTES:
            data = os.pread(descriptor, size, 0)
            if not known and not self._judge(sha256, found, hashlib.sha256(data).hexdigest()):
                raise FileNotFoundError(sha256)
            return Opened(descriptor, size, None, data)
        if known:
            return Opened(descriptor, size, None, None)
        if size <= MEANWHILE_BYTES:
            return Opened(descriptor, size, lambda _: self._check(os.dup(descriptor), sha256), None)
        return Opened(descriptor, size, self._pool.submit(self._check, os.dup(descriptor), sha256).result, None)

    def trust(self, sha256: str) -> None:
        """Its bytes were looked at just now, as they came."""
        with suppress(FileNotFoundError):
            self._note(sha256, self._store.path(sha256).stat())

    def _note(self, sha256: str, found: os.stat_result) -> None:
        with self._lock:
            self._known[found.st_dev, found.st_ino] = found.st_mtime_ns, found.st_size
        with suppress(OSError):
            os.setxattr(self._store.path(sha256), CHECKED, f"{_state(found)} {int(time.time())}".encode())

    def _check(self, descriptor: int, sha256: str) -> bool:
        """Closes the descriptor. A damaged file is removed, so that the next one who asks has it fetched."""
        try:
            found = os.fstat(descriptor)
            digest, at = hashlib.sha256(), 0
            buffer = memoryview(bytearray(PIECE_BYTES))
            while count := os.preadv(descriptor, [buffer], at):
                digest.update(buffer[:count])
                at += count
        except OSError as e:
            log.error("%s: %s", self._store.path(sha256), e)
            return False
        finally:
            os.close(descriptor)
        return self._judge(sha256, found, digest.hexdigest())

    def _judge(self, sha256: str, found: os.stat_result, digest: str) -> bool:
        if digest == sha256:
            self._note(sha256, found)
            return True
        log.error("%s: the file is damaged; removed", self._store.path(sha256))
        self._store.path(sha256).unlink(missing_ok=True)
        return False


def _state(found: os.stat_result) -> str:
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"


def _noted(descriptor: int, found: os.stat_result) -> bool:
    """Whether this state of the file was found right not long ago."""
    try:
        state, _, at = os.getxattr(descriptor, CHECKED).decode("ascii", "replace").rpartition(" ")
        return state == _state(found) and 0 <= time.time() - int(at) < CHECKED_S
    except (OSError, ValueError):
        return False
