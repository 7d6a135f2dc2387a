"""A terminal of its own for a shell in a sandbox, relayed to and from the caller's.

The caller's own terminal would not do: its process groups are unknown inside, and shells refuse to work on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from image_builder.errors import SurroundingsError


@dataclass(frozen=True)
class Terminal:
    """theirs is for the sandbox, ours the descriptor of its other end, keys that of what the user types on."""

    theirs: IO[bytes]
    ours: int
    keys: int


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Make a terminal of the size of the caller's, whose keys all go inside until the block ends, Ctrl-C too."""
    keys = sys.stdin.fileno()
    if not os.isatty(keys):
        raise SurroundingsError("is no terminal", where="standard input", hint="run it without a pipe")
    ours, other = os.openpty()
    theirs = os.fdopen(other, "wb", buffering=0)

    def resize(*_: object) -> None:
        fcntl.ioctl(ours, termios.TIOCSWINSZ, fcntl.ioctl(keys, termios.TIOCGWINSZ, b"\0" * 8))

    before = termios.tcgetattr(keys)
    handler = signal.signal(signal.SIGWINCH, resize)
    try:
        resize()
        tty.setraw(keys, termios.TCSADRAIN)  # not TCSAFLUSH: what was typed ahead counts
        yield Terminal(theirs, ours, keys)
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
        os.close(ours)
        theirs.close()


def read(descriptor: int) -> bytes:
    """Read what there is; nothing at the end.

    A terminal tells its end as an error, and so does a socket whose other side died without reading what we sent.
    """
    try:
        return os.read(descriptor, 65536)
    except OSError as e:
        if e.errno not in (errno.EIO, errno.ECONNRESET):
            raise
        return b""


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
