"""Files on their way into the store: each is fetched once, by one thread of one build, and read by all who wait."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from image_builder.errors import PipelineError, SurroundingsError
from proxy import http
from proxy.archive.frozen import Entry, Refusal
from proxy.blobs import Blobs
from proxy.serving.fetch import HOLD_BYTES, FailedError, Fetch
from proxy.serving.settling import Settling
from proxy.store.coming import DiskError, Part, WrongBytesError

log = logging.getLogger(__name__)

JOBS = 8  # files fetched at once
FILE_MAX_BYTES = 8 << 30  # of one whose size nobody has signed
AT_ONCE_BYTES, AT_ONCE_S = 1 << 20, 2.0  # what is larger or takes longer is for those who are patient
OTHER_BUILD_S = 0.02  # between two looks at what another build fetches


class Fetches:
    """What is under way in this process. Safe in threads."""

    def __init__(self, store: Blobs, *, offline: bool = False, kept: Callable[[str], object] = str) -> None:
        """kept: told the hash of each file that came into the store."""
        self._store, self._offline, self._kept = store, offline, kept
        self._pool, self._settling = ThreadPoolExecutor(JOBS, thread_name_prefix="fetch"), Settling()
        self._running: dict[str, Fetch] = {}
        self._spoiled: set[str] = set()
        self._fresh: dict[str, str] = {}  # fetched ahead of its turn, so that nobody was told yet: hash -> from where
        self._lock = threading.Lock()

    def get(self, entry: Entry, *, here: bool = False) -> Fetch:
        """The fetch of this file, begun if it is not under way; for who has seen that the file is not in the store.

        here: this thread has nothing else to do.
        """
        with self._lock:
            running = self._running.get(entry.sha256)
            if running is not None:
                return running
            fetch = Fetch(entry, hold=entry.sha256 in self._spoiled)
            self._running[entry.sha256] = fetch
        if not (here and self._fetch_here(fetch)):
            self._pool.submit(self._run, fetch)
        return fetch

    def under_way(self, sha256: str) -> Fetch | None:
        """The fetch of this file, if it is under way."""
        return self._running.get(sha256)

    def bring(self, entry: Entry, timeout_s: float = 600.0) -> bool:
        """Wait until a file is in the store; False: nobody has it. Raises SurroundingsError."""
        if self._store.has(entry.sha256, entry.size_bytes):
            return True
        fetch = self.get(entry)
        fetch.needed = True
        self._settling.hurry()
        if not fetch.over.wait(timeout_s):
            raise SurroundingsError(f"not there after {timeout_s:.0f} s", where=entry.path)
        if self._store.has(entry.sha256, entry.size_bytes):
            return True
        try:
            fetch.wait(0, 0)
        except FailedError as e:
            if e.refusal.status == 404:
                return False
            raise SurroundingsError(e.refusal.reason, where=entry.path) from e
        raise SurroundingsError("cannot be kept in the store", where=entry.path)

    def origin(self, sha256: str) -> str:
        """Where a file of the store came from, for the first who gets it; after that it is "store"."""
        return self._fresh.pop(sha256, "store")

    def close(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._pool.shutdown(cancel_futures=True)
        self._settling.close()

    def settle(self, timeout_s: float) -> None:
        """See what has come onto the disk, before the process ends; what is under way is left as it is."""
        if not self._settling.close(timeout_s):
            log.warning("some files are not on the disk yet: the next proxy goes on with them")

    def spoiled(self, sha256: str) -> bool:
        """Whether a client got the beginning of a wrong file: asked for the rest, we begin anew."""
        return sha256 in self._spoiled

    def _fetch_here(self, fetch: Fetch) -> bool:
        """Whether this thread could have a small file at once: most of what the others need for one is to be woken,
        and to wake. What is not quick and plain is left to them."""
        entry, size = fetch.entry, fetch.entry.size_bytes or 0
        url = next(iter(entry.urls), "")
        # Other hosts' stores are asked first, and mostly have to be asked for more than one address.
        plain = url.startswith("http") and not self._store.shared and not self.spoiled(entry.sha256)
        if self._offline or not plain or not 0 < size < AT_ONCE_BYTES:
            return False
        try:
            part = self._store.claim(entry.sha256, size)
        except DiskError:
            return False
        if part is None:
            return False
        try:
            if not part.got and not self._store.has(entry.sha256, size):
                part.gather()
                if http.at_once(url, size, AT_ONCE_S, part.write) and part.right():
                    self._came(fetch, part, _named(url))
                    return True
                if part.got < size:  # too slow; what there is of it is not asked for again
                    part.write_back()
        except DiskError as e:
            log.warning("%s: %s", entry.path, e)
        except Exception:  # the others try it once more, and say what is wrong to all who wait
            log.exception("%s", entry.path)
        part.close()
        return False

    def _came(self, fetch: Fetch, part: Part, source: str) -> None:
        """All of it is right. Who waits gets it now; the disk may take its time."""
        fetch.finish(source, part.got, part.gathered)
        self._settling.add(part, lambda: self._end(fetch), written=lambda: fetch.written(part.path), now=fetch.needed)

    def _run(self, fetch: Fetch) -> None:
        try:
            self._bring_in(fetch)
        except FailedError as e:
            log.warning("%s: %s", fetch.entry.path, e)
            self._fail(fetch, e.refusal)
        except (DiskError, OSError) as e:
            log.warning("%s: %s", fetch.entry.path, e)
            self._fail(fetch, _of_disk(e))
        except Exception as e:
            log.exception("%s", fetch.entry.path)
            self._fail(fetch, Refusal(404, f"the proxy failed: {type(e).__name__}"))

    def _fail(self, fetch: Fetch, refusal: Refusal) -> None:
        with self._lock:  # first: who is told, and asks again, gets a new try
            self._running.pop(fetch.entry.sha256, None)
        fetch.fail(refusal)
        fetch.over.set()

    def _end(self, fetch: Fetch) -> None:
        """It is in the store now, unless the disk has failed."""
        self._kept(fetch.entry.sha256)
        if not fetch.told:
            self._fresh[fetch.entry.sha256] = fetch.source
        with self._lock:
            self._running.pop(fetch.entry.sha256, None)
        fetch.over.set()

    def _bring_in(self, fetch: Fetch) -> None:
        """Raises FailedError, DiskError."""
        part = self._claim(fetch)
        if part is None:
            self._end(fetch)
            return
        try:
            if not (fetch.attach(part.path, part.got) if part.got else fetch.drop()):
                raise FailedError(Refusal(503, "another build began to fetch it and ended"))
            if not part.got and (fetch.entry.size_bytes or HOLD_BYTES) < HOLD_BYTES:
                part.gather()
            source = self._fill(fetch, part)
        except BaseException:
            part.close()
            raise
        self._came(fetch, part, source)

    def _claim(self, fetch: Fetch) -> Part | None:
        """None: it is in the store, brought by another build meanwhile."""
        entry = fetch.entry
        shared = self._store.part_path(entry.sha256)
        while True:
            part = self._store.claim(entry.sha256, entry.size_bytes)
            if self._store.has(entry.sha256, entry.size_bytes):
                if part is not None:
                    part.close()
                place = self._store.path(entry.sha256)
                if not fetch.attach(place, place.stat().st_size):
                    raise FailedError(Refusal(503, "another build fetched it in two parts"))
                fetch.finish("other", place.stat().st_size)
                return None
            if part is not None:
                return part
            fetch.watch(shared)
            if fetch.is_right():  # that build will get it onto the disk; nobody has to wait for that
                fetch.finish("other", fetch.entry.size_bytes or 0)
                return None
            time.sleep(OTHER_BUILD_S)

    def _fill(self, fetch: Fetch, part: Part) -> str:
        """From one address after the other until the bytes are right; where they came from. Raises FailedError."""
        if part.got and part.right():  # a killed proxy had all of it, and no time to get it into the store
            return "store"
        if self._offline:
            raise FailedError(Refusal(404, "it is not in the store, and nothing is fetched offline"))
        problems: list[Exception] = []
        addresses = deque(self._store.addresses(fetch.entry.sha256, fetch.entry.urls))
        while addresses:
            url, before = addresses.popleft(), part.got
            try:
                _read(url, fetch, part)
                part.check()
                return _named(url)
            except DiskError:
                raise
            except PipelineError as e:
                problems.append(e)
                log.warning("%s", e)
                if isinstance(e, WrongBytesError):
                    part.restart()
                    if not fetch.drop():  # who has some of it must not get the rest
                        self._spoiled.add(fetch.entry.sha256)
                        break
                    if before:  # the wrong ones may have come from elsewhere
                        addresses.appendleft(url)
        raise FailedError(_of_problems(problems))


def _named(url: str) -> str:
    """As the log and the record say it."""
    return f"fetched:{urlsplit(url).netloc.rpartition('@')[2] or 'file'}"


def _read(url: str, fetch: Fetch, part: Part) -> None:
    """Append what this address has beyond what is there. What is there is not thrown away before it is known to be
    wrong: a client may have it."""
    passed = 0

    def got() -> int:
        nonlocal passed
        passed = part.got
        return passed

    def restart() -> None:
        nonlocal passed
        passed = 0

    def write(data: bytes) -> None:
        nonlocal passed
        skip = max(0, min(part.got - passed, len(data)))
        passed += len(data)
        if skip < len(data):
            part.write(data[skip:] if skip else data)
            if part.gathered is None:
                fetch.grew(part.path, part.got)

    http.stream(url, write, restart, max_bytes=fetch.entry.size_bytes or FILE_MAX_BYTES, got=got)
    if passed != part.got:
        raise WrongBytesError(f"{passed} bytes, {part.got} before", where=url)


def _of_problems(problems: list[Exception]) -> Refusal:
    """Trouble may heal, and apt asks again after a 503. That nobody has the file, or another one, does not."""
    if not problems:
        return Refusal(404, "no address is known where it can be fetched")
    said = "; ".join(
        f"{urlsplit(e.where).hostname or e.where}: {e.what}" for e in problems if isinstance(e, PipelineError)
    )
    transient = any(isinstance(e, SurroundingsError) for e in problems)
    return Refusal(503 if transient else 404, " ".join(said.split()))


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _of_disk(error: Exception) -> Refusal:
    full = _is_full(error)  # apt takes 507 for the end; a 503 it would try again
    return Refusal(507 if full else 503, f"the disk of the store {'is full' if full else f'cannot be used: {error}'}")
