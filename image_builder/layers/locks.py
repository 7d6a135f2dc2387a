"""Locks on keys that the kernel drops when their holder dies."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from image_builder.errors import SurroundingsError

# struct flock with 64-bit offsets: l_type, l_whence, l_start, l_len, l_pid (0 for these locks).
_FLOCK = "hhqqi"


class KeyLocks:
    """Locks on any number of keys through one descriptor: each key is a byte of a file that stays empty.

    These are open file description locks: they belong to this object, not to the process, so two objects in two
    threads exclude each other, and they end with the last copy of the descriptor, whatever ended the process.
    Whether a holder lives is thus never guessed from a PID.
    """

    def __init__(self, path: Path) -> None:
        """Raises SurroundingsError if the file cannot be opened or made."""
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            hint = "run as root, or choose another directory by --store"
            raise SurroundingsError(f"cannot be locked: {e.strerror}", where=path, hint=hint) from e

    def share(self, key: str) -> None:
        """Hold key together with others; waits while one has it alone."""
        fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLKW, _range(fcntl.F_RDLCK, key))

    def take(self, key: str) -> bool:
        """Hold key alone, if nobody else holds it; say whether that is so."""
        try:
            fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, _range(fcntl.F_WRLCK, key))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self, key: str) -> None:
        fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, key))

    def close(self) -> None:
        """Release all."""
        if self.descriptor >= 0:
            # Said, not left to close: a child that another thread is just starting has a copy until it calls exec.
            fcntl.fcntl(self.descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
            os.close(self.descriptor)
            self.descriptor = -1


def _range(kind: int, key: str) -> bytes:
    # 60 bits of the key: a file offset is a signed 64-bit number. Two keys on one byte would only wait in vain.
    return struct.pack(_FLOCK, kind, os.SEEK_SET, int(key[:15], 16), 1, 0)
