"""The serial console on the user's terminal, until the user leaves or the guest ends."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from image_builder.boot.console import Transcript, verdict
from image_builder.boot.guest import STOPPED, Guest

EXIT_KEY = b"\x1d"
EXIT_KEY_NAME = "Ctrl-]"
LEFT = f"left with {EXIT_KEY_NAME}"
REGULAR = (LEFT, STOPPED["shutdown"])  # the ends that are no failure


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Pass every key on, Ctrl-C too; the terminal is as before after the block, also on SIGTERM and SIGHUP."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    handlers = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(fd, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def show(guest: Guest, *, stdin: int = 0, stdout: int = 1) -> str:
    """Connect the console with two descriptors; return why it ended, in words.

    What the BIOS says about a disk that does not boot goes to stderr: it is on the text screen only.
    """
    screen, told = Transcript(), False
    with raw_terminal(stdin):
        guest.watch(stdin, "typed")
        while True:
            for channel, data in guest.wait(3600):
                if channel == "typed":
                    if EXIT_KEY in data:
                        return LEFT
                    guest.send(data)
                elif channel == "serial":
                    _write(stdout, data)
                else:
                    screen.feed(data)
                    seen = verdict(screen.text)
                    if seen and not seen.success and not told:
                        told = True
                        sys.stderr.write(f"\r\n{seen.reason}\r\n")
                        sys.stderr.flush()
            if guest.end is not None:
                return guest.end


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
