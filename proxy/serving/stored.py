"""Files of the store about to be sent: looked at once more, while they are on their way."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from proxy.blobs import Blobs

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 256 << 10  # of a file this small the check takes less time than a thread's start
PIECE_BYTES = 256 << 10  # stays in the processor's cache


class Stored:
    """Opens files of the store. Each is hashed once per run: a disk may have changed what was right when it came."""

    def __init__(self, store: Blobs, jobs: int = 2) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="check")
        self._known: dict[tuple[int, int], tuple[int, int]] = {}  # device, inode -> when changed, size
        self._lock = threading.Lock()

    def open(self, sha256: str) -> tuple[int, int, Future[bool] | None]:
        """A descriptor, the size, and the check under way; None: it was looked at before. Raises FileNotFoundError."""
        descriptor = os.open(self._store.path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        self._store.use(sha256)
        found = os.fstat(descriptor)
        with self._lock:
            known = self._known.get((found.st_dev, found.st_ino)) == (found.st_mtime_ns, found.st_size)
        if known:
            return descriptor, found.st_size, None
        if found.st_size <= AT_ONCE_BYTES:
            done: Future[bool] = Future()
            done.set_result(self._check(os.dup(descriptor), sha256))
            return descriptor, found.st_size, done
        return descriptor, found.st_size, self._pool.submit(self._check, os.dup(descriptor), sha256)

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
        if digest.hexdigest() == sha256:
            with self._lock:
                self._known[found.st_dev, found.st_ino] = found.st_mtime_ns, found.st_size
            return True
        log.error("%s: the file is damaged; removed", self._store.path(sha256))
        self._store.path(sha256).unlink(missing_ok=True)
        return False
