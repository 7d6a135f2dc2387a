"""Temporary folders that do not outlive their process, however it ends."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image_builder.errors import SurroundingsError

_ours: dict[Path, tuple[int, Path, int]] = {}  # cache -> (process, its folder, the descriptor that holds the lock)
_lock = threading.Lock()


@contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """A new folder on the cache's file system for the length of the block.

    What a killed process left is cleared by the next one that asks. Raises SurroundingsError.
    """
    try:
        folder = Path(tempfile.mkdtemp(dir=_of_process(cache.absolute())))
    except OSError as e:
        raise SurroundingsError(f"no temporary folder can be made: {e.strerror or e}", where=cache) from e
    folder.chmod(0o755)  # apt reads in it as the user _apt
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_process(cache: Path) -> Path:
    with _lock:
        known = _ours.get(cache)
        if known is not None and known[0] == os.getpid() and known[1].is_dir():
            return known[1]
        top = cache / "tmp"
        top.mkdir(parents=True, exist_ok=True)
        # One at a time: a folder that was made and is not yet held must not look like that of a dead process.
        with (top / ".lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            _clear(top)
            folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=top))
            folder.chmod(0o755)
            held = os.open(folder / ".held", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX)
        _ours[cache] = (os.getpid(), folder, held)
        atexit.register(_leave, cache, os.getpid())
        return folder


def clear(cache: Path) -> None:
    """Remove what killed processes left in a cache, for who will make no folder of their own there."""
    top = cache / "tmp"
    if top.is_dir():
        with (top / ".lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            _clear(top)


def _clear(top: Path) -> None:
    for path in top.iterdir():
        if path.name == ".lock":
            continue
        try:
            held = os.open(path / ".held", os.O_RDWR)
        except FileNotFoundError:  # killed between making the folder and holding it
            shutil.rmtree(path, ignore_errors=True)
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(held)


def _leave(cache: Path, process: int) -> None:
    if process != os.getpid():  # a fork of ours ends; the folder is not its own
        return
    with _lock:
        known = _ours.pop(cache, None)
    if known is not None:
        shutil.rmtree(known[1], ignore_errors=True)
        os.close(known[2])


def kept(cache: Path) -> Path:
    """A new folder on the cache's file system that is there until this process ends. Raises SurroundingsError."""
    try:
        return Path(tempfile.mkdtemp(dir=_of_process(cache.absolute())))
    except OSError as e:
        raise SurroundingsError(f"no temporary folder can be made: {e.strerror or e}", where=cache) from e
