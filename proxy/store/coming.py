"""A file on its way into the content store: one owner at a time, resumed after a kill, checked at the end."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import io
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from image_builder.errors import PipelineError, SurroundingsError

HINT = "a mirror in the middle of its update, or a file changed on its way; try again or use another mirror"
SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_sync_file_range = ctypes.CDLL(None).sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
POLL_S = 0.05  # how often a waiting process looks whether the owner has gone: locks of other processes wake nobody


class WrongBytesError(PipelineError):
    """What came is not the file of this hash."""


class DiskError(SurroundingsError):
    """The store's own disk failed: another address is no help."""


class Part:
    """The bytes of one file so far. Grows only; who begins anew does so in a new inode, for others read along."""

    def __init__(self, target: Path, part: Path, held: int, sha256: str, size_bytes: int | None) -> None:
        """Use claim(). held: the descriptor with the lock on it."""
        self.path, self.sha256, self.size_bytes = part, sha256, size_bytes
        self._target, self._held = target, held
        self._file: io.FileIO | None = None
        self._hash = hashlib.sha256()
        self.got = 0
        self._pieces: list[bytes] | None = None  # what came and is not written yet: of a small file, see gather()
        with suppress(FileNotFoundError), part.open("rb") as earlier:
            while chunk := earlier.read(1 << 20):
                self._hash.update(chunk)
                self.got += len(chunk)
        if size_bytes is not None and self.got > size_bytes:
            self.restart()

    def done(self) -> bool:
        """Whether somebody else brought the file before this claim was given."""
        return self._target.exists()

    def write(self, data: bytes) -> None:
        """Append. Raises WrongBytesError for more than the file may have, DiskError when the disk is full."""
        if self.size_bytes is not None and self.got + len(data) > self.size_bytes:
            raise WrongBytesError(
                f"longer than the {self.size_bytes} bytes the signed index says",
                where=self.sha256,
                hint=HINT,
            )
        if self._pieces is None:
            self._write(data)
        else:
            self._pieces.append(data)
        self._hash.update(data)
        self.got += len(data)

    def gather(self) -> None:
        """Keep what comes until write_back(): nobody reads a small file along, and who waits needs no disk for it."""
        self._pieces = []

    @property
    def gathered(self) -> bytes | None:
        """What came since gather(); None if everything was written."""
        if self._pieces is not None and len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return None if self._pieces is None else self._pieces[0]

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._open().write(rest) :]
        except OSError as e:
            self.restart()  # how much of it was written is not known, and a full disk wants the room
            raise _disk(e, self.path) from e

    def restart(self) -> None:
        """Forget what came. Readers of the old bytes keep them."""
        self._pieces = None if self._pieces is None else []
        self._shut()
        self.path.unlink(missing_ok=True)
        self._hash, self.got = hashlib.sha256(), 0

    def check(self) -> None:
        """Whether this is the file, whole. Raises WrongBytesError, and the bytes are gone then."""
        if not self.right():
            found, got = self._hash.hexdigest(), self.got
            self.restart()
            said = "" if self.size_bytes is None else f", {self.size_bytes} bytes"
            raise WrongBytesError(
                f"SHA-256 is {found}, {got} bytes; the signed index says {self.sha256}{said}",
                where=self.sha256,
                hint=HINT,
            )

    def right(self) -> bool:
        """Whether size and hash fit. commit() says so too, but only when the disk has it all."""
        return self._hash.hexdigest() == self.sha256 and self.size_bytes in (None, self.got)

    def write_back(self) -> None:
        """Write what was gathered: from now on others read it along. Raises DiskError."""
        data, self._pieces = self.gathered, None
        if data:
            self._write(data)

    def begin_sync(self) -> None:
        """Have the disk begin, without waiting for it: commit() will."""
        with suppress(OSError):
            _sync_file_range(self._open().fileno(), 0, 0, SYNC_FILE_RANGE_WRITE)

    def commit(self) -> Path:
        """Check size and hash, sync, and give the file its name. Raises WrongBytesError, DiskError."""
        self.check()
        self.write_back()
        try:
            # apt believes a package of the right size: after a loss of power that must be the whole file
            os.fsync(self._open().fileno())
            try:
                self.path.replace(self._target)
            except FileNotFoundError:  # the folder is new
                self._target.parent.mkdir(parents=True, exist_ok=True)
                self.path.replace(self._target)
        except OSError as e:
            raise _disk(e, self.path) from e
        return self._target

    def close(self) -> None:
        """Let others go on with it; what came stays for them."""
        if self._held < 0:
            return
        self._shut()
        os.close(self._held)
        self._held = -1

    def _open(self) -> io.FileIO:
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)  # unbuffered: others read along
            os.fchmod(self._file.fileno(), 0o644)  # apt reads what becomes of it as the user _apt
        return self._file

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim(folder: Path, target: Path, sha256: str, size_bytes: int | None) -> Part | None:
    """Become the one who brings a file; None while another thread or process is. A dead owner's claim is free at once.

    folder: of parts and locks, on the store's file system. target: where the file will be. Raises DiskError.
    """
    try:
        try:
            held = _locks(folder, os.O_CREAT)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            held = _locks(folder, os.O_CREAT)
        try:
            if _lock(held, sha256, fcntl.F_WRLCK):
                return Part(target, part_path(folder, sha256), held, sha256, size_bytes)
        except BaseException:
            os.close(held)
            raise
        os.close(held)
        return None
    except OSError as e:
        raise _disk(e, folder) from e


def part_path(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.part"


def wait(folder: Path, sha256: str, timeout_s: float | None = None) -> bool:
    """Until nobody brings the file any more. False: somebody still does after this time."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            held = _locks(folder, 0)
        except FileNotFoundError:
            return True
        try:
            if _lock(held, sha256, fcntl.F_RDLCK):
                return True
        finally:
            os.close(held)
        if until is not None and time.monotonic() >= until:
            return False
        time.sleep(POLL_S)


def _locks(folder: Path, flags: int) -> int:
    """The file whose bytes stand for hashes. A file for each would have to be made and removed, which a disk's journal
    makes the slowest part of fetching a small one."""
    return os.open(folder / ".locks", os.O_RDWR | os.O_CLOEXEC | flags, 0o644)


def _lock(held: int, sha256: str, kind: int) -> bool:
    """Lock the byte of this hash, as long as the descriptor is open: it belongs to that, not to the process.

    False: somebody else has it. That two hashes have one byte happens to nobody, and would only have one wait.
    """
    wanted = struct.pack("hhqqi", kind, os.SEEK_SET, int(sha256[:15], 16), 1, 0)  # struct flock
    try:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _disk(error: OSError, where: Path) -> DiskError:
    hint = "make room, or put the store elsewhere" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return DiskError(error.strerror or str(error), where=where, hint=hint)
