"""Files of the store about to be sent: looked at once more, while they are on their way."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from proxy.blobs import Blobs

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 64 << 10  # a file this small is looked at before its first byte leaves
MEANWHILE_BYTES = 1 << 20  # and one this small by whoever sends it, when all but its end is out
PIECE_BYTES = 256 << 10  # stays in the processor's cache

Check = Callable[[float], bool]  # whether the file is right; waits for so many seconds at most, then TimeoutError


class Opened(NamedTuple):
    """A file to be sent."""

    descriptor: int
    size_bytes: int
    check: Check | None  # still to be made; None: it was looked at
    data: bytes | None  # all of it, if it is small


class Stored:
    """Opens files of the store. Each is hashed once per run: a disk may have changed what was right when it came."""

    def __init__(self, store: Blobs, jobs: int = 2) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="check")
        self._known: dict[tuple[int, int], tuple[int, int]] = {}  # device, inode -> when changed, size
        self._lock = threading.Lock()

    def open(self, sha256: str) -> Opened:
        """Raises FileNotFoundError, also for a small file that was found to be damaged and is removed now."""
        descriptor = os.open(self._store.path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._opened(sha256, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _opened(self, sha256: str, descriptor: int) -> Opened:
        found = os.fstat(descriptor)
        self._store.use(sha256, found)
        size = found.st_size
        with self._lock:
            known = self._known.get((found.st_dev, found.st_ino)) == (found.st_mtime_ns, size)
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
            found = self._store.path(sha256).stat()
            with self._lock:
                self._known[found.st_dev, found.st_ino] = found.st_mtime_ns, found.st_size

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
            with self._lock:
                self._known[found.st_dev, found.st_ino] = found.st_mtime_ns, found.st_size
            return True
        log.error("%s: the file is damaged; removed", self._store.path(sha256))
        self._store.path(sha256).unlink(missing_ok=True)
        return False
