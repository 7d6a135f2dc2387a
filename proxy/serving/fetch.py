"""One file on its way into the store: how far it is, for those who read along."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from proxy.archive.frozen import Entry, Refusal

# A file is shown to those who wait once this much is there. A smaller one is checked as a whole before its first byte
# leaves, so that another address can still be tried when the first one gives the wrong bytes. Were it larger, a client
# that asks for one file after the other would wait for most of them twice.
HOLD_BYTES = 256 << 10
STEP_BYTES, STEP_S = 512 << 10, 0.02  # who reads along is woken for so much, or after this time
LAST_BYTES = 4096  # of any file, which stay back until all of it is checked: a wrong one never gets complete


class FailedError(Exception):
    """What was to come will not come. refusal: what a client is told that has had nothing yet."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


@dataclass
class _State:
    """What a fetch has come to; changed under its condition."""

    file: BinaryIO | None = None  # the part, closed when nobody knows this fetch any more
    got: int = 0
    shown: bool = False  # somebody was given bytes of it: from here on they cannot be replaced by others
    told: bool = False  # somebody waits, or has waited
    right: bool = False
    failed: Refusal | None = None
    source: str = "-"
    data: bytes | None = None  # all of it, of a small file that is right


class Fetch:
    """One file on its way. Readers call wait() and open(), the fetching thread the rest."""

    def __init__(self, entry: Entry, *, hold: bool = False) -> None:
        """hold: show nothing before all of it is checked: a client has had the beginning of wrong bytes before."""
        self.entry, self._hold = entry, hold
        self.over = threading.Event()  # nothing more happens: it is in the store, or will not be
        self.needed = False  # in the store, by somebody who waits for that
        self._looked_at = -1  # the inode of a whole file that was hashed
        self._said_got, self._said_at = 0, 0.0  # what readers were woken for last, and when; monotonic
        self._state, self._changed = _State(), threading.Condition()

    # -- for readers

    def wait(self, sent: int, timeout_s: float) -> int:
        """How far the file may be sent: more than `sent`, or all of it. 0 and nothing new: TimeoutError.

        Raises FailedError when it will not come.
        """
        with self._changed:
            self._state.told = True
            if not self._changed.wait_for(lambda: self._settled() or self._visible() > sent, timeout_s):
                raise TimeoutError
            if self._state.failed is not None:
                raise FailedError(self._state.failed)
            self._state.shown = True
            return self._visible()

    def open(self) -> int:
        """A descriptor of the reader's own, of the file whose bytes wait() spoke of."""
        with self._changed:
            if self._state.file is None:  # of an empty file
                return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            return os.dup(self._state.file.fileno())

    @property
    def data(self) -> bytes | None:
        """All of a small file, which may not be on the disk yet; None: it is read from open()."""
        return self._state.data

    @property
    def source(self) -> str:
        return self._state.source

    @property
    def told(self) -> bool:
        """Whether anybody waited for it."""
        with self._changed:
            return self._state.told

    @property
    def given(self) -> bool:
        """Whether somebody had all of it before: who asks now need not know that it is not on the disk yet."""
        with self._changed:
            return self._state.right and self._state.told

    @property
    def size_bytes(self) -> int | None:
        """None as long as nobody knows it."""
        with self._changed:
            return self._state.got if self._state.right else self.entry.size_bytes

    def _settled(self) -> bool:
        return self._state.right or self._state.failed is not None

    def _visible(self) -> int:
        if self._state.right:
            return self._state.got
        if self._hold or self.entry.size_bytes is None or self._state.got < HOLD_BYTES:
            return 0
        return max(0, min(self._state.got, self.entry.size_bytes) - LAST_BYTES)

    # -- for the thread that fetches

    def attach(self, path: Path, got: int) -> bool:
        """Read from this file from now on; False if bytes of another one are with a client already."""
        file = path.open("rb", buffering=0)
        with self._changed:
            old = self._state.file
            if self._state.shown and old is not None and not os.path.sameopenfile(old.fileno(), file.fileno()):
                file.close()
                return False
            self._state.file, self._state.got = file, got
            self._changed.notify_all()
            return True

    def grew(self, path: Path, got: int) -> None:
        with self._changed:
            if self._state.file is None:
                self._state.file = path.open("rb", buffering=0)
            self._state.got = got
            # To wake somebody costs more than to write a piece.
            small, now = 0 <= got - self._said_got < STEP_BYTES, time.monotonic()
            if self._said_got < HOLD_BYTES or not small or now - self._said_at > STEP_S:
                self._said_got, self._said_at = got, now
                self._changed.notify_all()

    def drop(self) -> bool:
        """What came so far is worth nothing. False if some of it is with a client already."""
        with self._changed:
            if self._state.shown:
                return False
            self._state.file, self._state.got = None, 0
            return True

    def finish(self, source: str, got: int, data: bytes | None = None) -> None:
        with self._changed:
            self._state.right, self._state.source, self._state.got, self._state.data = True, source, got, data
            self._changed.notify_all()

    def written(self, path: Path) -> None:
        """Of what finish() was given in memory: it can be read from this file now."""
        with self._changed:
            if self._state.data is not None:
                self._state.file, self._state.data = path.open("rb", buffering=0), None

    def fail(self, refusal: Refusal) -> None:
        """Of no effect on what is known to be right."""
        with self._changed:
            if not self._state.right:
                self._state.failed = refusal
            self._changed.notify_all()

    def watch(self, part: Path) -> None:
        """Show what another build has of it by now."""
        with self._changed:
            file, shown = self._state.file, self._state.shown
        if file is not None and _same(file.fileno(), part):
            self.grew(part, os.fstat(file.fileno()).st_size)
        elif not shown:
            with suppress(OSError):
                self.attach(part, part.stat().st_size)

    def is_right(self) -> bool:
        """Whether all of it is there and has its hash, by our own look at what another build has brought."""
        with self._changed:
            file, got = self._state.file, self._state.got
        if file is None or got != self.entry.size_bytes or self._looked_at == os.fstat(file.fileno()).st_ino:
            return False
        self._looked_at = os.fstat(file.fileno()).st_ino
        digest, at = hashlib.sha256(), 0
        while data := os.pread(file.fileno(), 1 << 18, at):
            digest.update(data)
            at += len(data)
        return digest.hexdigest() == self.entry.sha256


def _same(descriptor: int, path: Path) -> bool:
    try:
        there, mine = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
