"""Doing something from within a network namespace, in the calling thread alone."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image_builder.errors import SurroundingsError

CLONE_NEWNET = 0x40000000
OWN = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Sockets this thread makes in the block belong to that namespace, for as long as they live.

    namespace: its handle, /run/netns/NAME or /proc/PID/fd/N. Raises SurroundingsError.
    """
    try:
        home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise SurroundingsError(e.strerror or str(e), where=OWN) from e
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _set(home, OWN)
    finally:
        os.close(home)


def unshare() -> None:
    """Put the calling thread into a new network namespace. Raises SurroundingsError where that is not allowed."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise SurroundingsError(
            f"no network namespace can be made: {os.strerror(ctypes.get_errno())}",
            where="network",
            hint="it needs root with CAP_SYS_ADMIN; containers often lack that",
        )


def _enter(namespace: Path) -> None:
    try:
        handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise SurroundingsError(f"no network namespace: {e.strerror}", where=namespace) from e
    try:
        _set(handle, namespace)
    finally:
        os.close(handle)


def _set(handle: int, name: Path) -> None:
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        raise SurroundingsError(f"cannot be entered: {os.strerror(ctypes.get_errno())}", where=name)
