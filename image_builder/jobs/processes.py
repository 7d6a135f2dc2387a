"""The processes of a job: found by descent or by a mark in their environment, added up, and ended to the last one."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from image_builder.errors import SurroundingsError

MARK = "IMAGE_BUILDER_JOB"  # in the environment of every process of a job, unless it takes it out
PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> None:
    """From now on, a descendant whose parent ends becomes a child of this process, not of the machine's init."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        reason = os.strerror(ctypes.get_errno())
        raise SurroundingsError(f"cannot take over processes: {reason}", where="prctl")


def descendants(of: int) -> list[int]:
    """Process numbers of all that descends from a process, zombies included, itself not."""
    children = defaultdict(list)
    for pid, parent in _parents():
        children[parent].append(pid)
    found: list[int] = []
    todo = [of]
    while todo:
        for pid in children.pop(todo.pop(), ()):
            found.append(pid)
            todo.append(pid)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended
                # "17 (a name (with) brackets) S 1 …"
                stat = Path(entry.path, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                yield int(entry.name), int(stat[1])


def resident_bytes(pids: list[int]) -> int:
    """Memory they occupy, added up; what they share counts for each."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return total


def end_all_children() -> None:
    """Kill every descendant of this process and see it gone; adopt_orphans() has been called before.

    One that is forking is caught later: each round ends a generation, and what that leaves is ours.
    """
    while True:
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def marked(reference: str) -> list[int]:
    """Processes that carry the mark of a job."""
    wanted = f"{MARK}={reference}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # ended, or somebody else's
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_marked(reference: str, *, patience_seconds: float = 10.0) -> bool:
    """Kill what carries the mark of a job, until nothing does; False if something is left after that time."""
    deadline = time.monotonic() + patience_seconds
    while pids := marked(reference):
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def used_bytes(folder: Path) -> int:
    """Disk space of all that lies in a folder, as far as it can be looked into."""
    total = 0
    todo = [os.fspath(folder)]
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # files come and go
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
    return total
