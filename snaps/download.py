"""Snaps from the store into a folder: several at once, resumed, hashed while written, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import requests

from image_builder.errors import PipelineError, SurroundingsError
from snaps.files import SnapFiles
from snaps.store.client import StoreClient
from snaps.store.errors import StoreError
from snaps.store.transport import TryAgainError, again, raise_for, shown

TRIES = 7
CHUNK_BYTES = 1 << 20
AHEAD = 8  # chunks read and written that are still to be hashed
SLOW_BYTES_PER_S, SLOW_WINDOW_S = 4096, 300.0  # a server this slow for so long is left, as snapd does
POLL_S = 0.2


@dataclass(frozen=True)
class Wanted:
    """A file to have: its hash (hex) and size decide, the rest is for asking and for messages."""

    name: str
    revision: int
    sha3_384: str
    size_bytes: int
    url: str


class Progress(Protocol):
    """Told from several threads."""

    def begin(self, wanted: Wanted, there: int) -> None:
        """A download begins, or begins again, with so many bytes there already."""

    def got(self, wanted: Wanted, there: int) -> None:
        """So many bytes are there now."""

    def done(self, wanted: Wanted) -> None: ...
    def say(self, text: str) -> None: ...


def download(
    client: StoreClient, wanted: Sequence[Wanted], files: SnapFiles, progress: Progress, *, jobs: int = 4
) -> int:
    """Have all of them in the folder; returns how many bytes came over the network.

    The first failure, or Ctrl-C, ends the rest; what came so far stays for the next call to go on with.
    Raises SurroundingsError (network, disk), StoreError (refused), PipelineError (other bytes than the store named).
    """
    unique = {one.sha3_384: one for one in wanted if not files.has(one.sha3_384, one.size_bytes)}
    # The largest first: at the end no thread is left alone with a big one.
    missing = sorted(unique.values(), key=lambda one: (-one.size_bytes, one.name))
    if not missing:
        return 0
    stop = threading.Event()
    pool = ThreadPoolExecutor(min(jobs, len(missing)), thread_name_prefix="snap")
    try:
        running = [pool.submit(_one, client, one, files, progress, stop) for one in missing]
        done, _ = wait(running, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        return sum(future.result() for future in running)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _one(client: StoreClient, wanted: Wanted, files: SnapFiles, progress: Progress, stop: threading.Event) -> int:
    """One file; returns the bytes that came over the network."""
    try:
        files.partial("").mkdir(parents=True, exist_ok=True)
        with _held(files.partial(wanted.sha3_384), wanted, progress, stop) as part:
            if files.has(wanted.sha3_384, wanted.size_bytes):  # somebody else had it and was faster
                files.partial(wanted.sha3_384).unlink(missing_ok=True)
                return 0
            came = _whole(client, wanted, part, progress, stop)
            part.flush()
            os.fchmod(part.fileno(), 0o644)
            os.fsync(part.fileno())
            files.partial(wanted.sha3_384).replace(files.path(wanted.sha3_384))
            _sync(files.folder)
    except OSError as e:
        raise SurroundingsError(f"{wanted.name}: {e.strerror or e}", where=files.folder) from e
    progress.done(wanted)
    return came


@contextmanager
def _held(path: Path, wanted: Wanted, progress: Progress, stop: threading.Event) -> Iterator[BinaryIO]:
    """The partial file, for us alone: two builds that want one snap fetch it once."""
    told = False
    while True:
        with path.open("a+b") as part:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    told = True
                    progress.say(f"{wanted.name}: waits for another download of the same snap")
                if stop.wait(POLL_S):
                    raise PipelineError("stopped", where=wanted.name) from None
                continue
            try:  # whoever held it may have renamed it since it was opened
                current = path.stat().st_ino == os.fstat(part.fileno()).st_ino
            except FileNotFoundError:
                current = False
            if current:
                yield part
                return


def _whole(client: StoreClient, wanted: Wanted, part: BinaryIO, progress: Progress, stop: threading.Event) -> int:
    """Fill the partial file until its hash is the right one; from zero once more if it is not."""
    came = 0
    for attempt in (1, 2):
        transfer = _Transfer(client, wanted, part, progress, stop)
        try:
            found = again(transfer, wanted.url, tries=TRIES, stop=stop)
        finally:
            came += transfer.came
            transfer.close()
        if found == wanted.sha3_384:
            return came
        part.truncate(0)
        if attempt == 1:
            progress.say(f"{wanted.name}: what came has another hash than the store says; once more from the start")
    raise PipelineError(
        f"{wanted.name} {wanted.revision}: SHA3-384 is {found}, the store says {wanted.sha3_384}; fetched twice",
        where=shown(wanted.url),
        hint="something on the way changes files: a proxy, a mirror; SNAPPY_STORE_NO_CDN=1 asks the store itself",
    )


class _Transfer:
    """The tries for one file. Called, it goes on where the file ends and returns the hash of all of it."""

    def __init__(
        self, client: StoreClient, wanted: Wanted, part: BinaryIO, progress: Progress, stop: threading.Event
    ) -> None:
        self.client, self.wanted, self.part, self.progress, self.stop = client, wanted, part, progress, stop
        self.came = 0
        self._hash = _Hash()
        if (size := part.seek(0, os.SEEK_END)) > wanted.size_bytes:
            part.truncate(0)
        elif size:
            part.seek(0)
            while chunk := part.read(CHUNK_BYTES):
                self._hash.update(chunk)

    def __call__(self) -> str:
        there = self.part.seek(0, os.SEEK_END)
        self.progress.begin(self.wanted, there)
        if there < self.wanted.size_bytes:
            with self.client.download(self.wanted.url, offset=there) as answer:
                there = self._checked(answer, there)
                self._receive(answer, there)
        return self._hash.hexdigest()

    def _checked(self, answer: requests.Response, there: int) -> int:
        """The offset the answer begins at: where we are, or zero. Raises for one that cannot be used."""
        if answer.status_code == 416:
            self._restart()
            raise TryAgainError("the server has no bytes from there on")
        raise_for(answer, self.wanted.url)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise StoreError("sends the snap compressed, which was not asked for", where=shown(self.wanted.url))
        if answer.status_code == 206:
            begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if begins is None or int(begins[1]) != there:
                self._restart()
                raise TryAgainError("the server answers with another part of the file than asked for")
            return there
        if there:  # all of it again: what is here is no use
            self._restart()
            self.progress.begin(self.wanted, 0)
        return 0

    def _restart(self) -> None:
        self.part.truncate(0)
        self.part.seek(0)
        self._hash.close()
        self._hash = _Hash()

    def _receive(self, answer: requests.Response, there: int) -> None:
        since, then = time.monotonic(), there
        # read1 gives what has come; read would wait for a whole chunk, however slowly it trickles in
        while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=False):
            if self.stop.is_set():
                raise PipelineError("stopped", where=self.wanted.name)
            there += len(chunk)
            if there > self.wanted.size_bytes:
                self._restart()
                raise TryAgainError(f"more than the {self.wanted.size_bytes} bytes it should have")
            self.part.write(chunk)
            self._hash.update(chunk)
            self.came += len(chunk)
            self.progress.got(self.wanted, there)
            if (now := time.monotonic()) - since > SLOW_WINDOW_S:
                if there - then < SLOW_BYTES_PER_S * SLOW_WINDOW_S:
                    raise TryAgainError(f"less than {SLOW_BYTES_PER_S} bytes a second")
                since, then = now, there
        self.part.flush()
        if there < self.wanted.size_bytes:
            raise TryAgainError(f"ended after {there} of {self.wanted.size_bytes} bytes")

    def close(self) -> None:
        self._hash.close()


class _Hash:
    """SHA3-384 in a thread of its own: it takes longer than reading and writing."""

    def __init__(self) -> None:
        self._hash = hashlib.sha3_384()
        self._chunks: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        self._thread: threading.Thread | None = None

    def update(self, chunk: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="sha3-384")
            self._thread.start()
        self._chunks.put(chunk)

    def hexdigest(self) -> str:
        """The hash of all so far."""
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._hash.update(chunk)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
