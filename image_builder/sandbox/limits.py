"""A control group for what runs in a sandbox: bounds its memory and its processes, and keeps it from the host's disks.

A kernel gives control groups in one of two versions, or both at once. Where none can be made, as in many containers,
a sandbox runs without: what is then missing is said by `missing`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from image_builder.sandbox import devices

log = logging.getLogger(__name__)

PREFIX = "image-builder."
GONE_S = 2.0  # until the kernel has forgotten the last process of a group


class Places(NamedTuple):
    """Groups of ours below which others can be made. None: there is no such place on this host."""

    memory: Path | None
    processes: Path | None
    devices: Path | None


@contextmanager
def group(memory_bytes: int | None, processes: int | None) -> Iterator[list[Path]]:
    """Make the control groups of one sandbox; yield the files a process joins them by, writing "0" to each.

    memory_bytes: of all its processes and its files in memory together; None: no limit. processes: threads count
    too; None: no limit. They are removed when the block ends, when all that ran in them has to be gone.
    """
    found = places()
    name = f"{PREFIX}{os.getpid()}.{os.urandom(4).hex()}"
    with ExitStack() as stack:
        made: dict[Path, Path] = {}
        for place in dict.fromkeys(found):
            if place is not None and (directory := _made(stack, place / name)) is not None:
                made[place] = directory
        if (memory := made.get(found.memory or Path())) and memory_bytes is not None:
            _set(memory, ("memory.max", "memory.limit_in_bytes"), memory_bytes)
            # no way out into swap: with version 1 this bounds the sum of both
            _set(memory, ("memory.swap.max",), 0)
            _set(memory, ("memory.memsw.limit_in_bytes",), memory_bytes)
        if (counted := made.get(found.processes or Path())) and processes is not None:
            _set(counted, ("pids.max",), processes)
        if confined := made.get(found.devices or Path()):
            try:
                devices.confine(confined)
            except OSError as e:
                log.debug("devices are not confined: %s", e)
        yield [directory / "cgroup.procs" for directory in made.values()]


def clear() -> int:
    """Remove the groups that killed processes left, wherever those had been started; return how many."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    tops = [fields[4] for fields in mounts if fields[fields.index("-") + 1] in ("cgroup", "cgroup2")]
    count = 0
    for top in tops:
        for base, folders, _ in os.walk(top):
            for directory in [Path(base, name) for name in folders if name.startswith(PREFIX)]:
                with suppress(OSError), _held(directory):
                    directory.rmdir()
                    count += 1
    return count


def missing() -> list[str]:
    """What a sandbox on this host cannot be kept from, in words."""
    words = ("its memory is not bounded", "its processes are not counted", "it can open devices by their numbers")
    return [text for place, text in zip(places(), words, strict=True) if place is None]


@cache
def places() -> Places:
    """Where groups can be made: tried for real, once."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    first: dict[str, Path] = {}
    second: Path | None = None
    for fields in mounts:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        for _, controllers, path in ours:
            if kind == "cgroup" and controllers and set(controllers.split(",")) <= set(options):
                top = Path(fields[4], os.path.relpath(path, fields[3]))
                first |= dict.fromkeys(controllers.split(","), top)
            elif kind == "cgroup2" and not controllers:
                second = Path(fields[4], os.path.relpath(path, fields[3]))
    unified = _delegating(second) if second else None
    return Places(
        _usable(unified or first.get("memory")),
        _usable(unified or first.get("pids")),
        _usable(unified or second),
    )


def _delegating(group: Path) -> Path | None:
    """The nearest group of version 2, from ours upwards, whose children have both controllers."""
    for place in (group, *group.parents):
        try:
            control = (place / "cgroup.subtree_control").read_text().split()
        except OSError:
            return None
        if {"memory", "pids"} <= set(control):
            return place
    return None


def _usable(place: Path | None) -> Path | None:
    if place is None:
        return None
    trial = place / f"{PREFIX}{os.getpid()}.trial.{os.urandom(4).hex()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return None
    return place


def _made(stack: ExitStack, directory: Path) -> Path | None:
    """Make one group, locked while it is ours, so that `clear` can tell it from a dead process's."""
    for _ in range(3):
        try:
            directory.mkdir()
            stack.enter_context(_held(directory))
        except (FileNotFoundError, BlockingIOError):  # cleared between the two, by another build that starts
            continue
        except OSError:
            return None
        if directory.exists():
            stack.callback(_removed, directory)
            return directory
    return None


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a group alone; raises BlockingIOError when somebody else does."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _removed(directory: Path) -> None:
    deadline = time.monotonic() + GONE_S
    while True:
        try:
            directory.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as e:
            if time.monotonic() > deadline:
                log.warning("%s: a control group is left: %s", directory, e.strerror)
                return
            time.sleep(0.005)


def _set(directory: Path, names: tuple[str, ...], value: int) -> None:
    """Write to the first of the files that is there: each version has its own name for it."""
    for name in names:
        file = directory / name
        if file.exists():
            try:
                file.write_text(str(value))
            except OSError as e:
                log.debug("%s: %s", file, e)
            return
