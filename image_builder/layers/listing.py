"""Lists what is in a layer, cheaply enough for every commit, to notice changes by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from image_builder.errors import CommandError
from image_builder.run import run

# A file name holds any byte but NUL and /, so NUL ends the fields. %T@ has nanoseconds. The last line's fields say
# what the file system made of it (links, blocks, inode): for the size only, a copy may differ there.
_FORMAT = r"%P\0%l\0%y %m %U %G %s %T@\0%n %b %i\0"


def write_listing(tree: Path, target: Path) -> int:
    """List tree into the file target by find(1), outside of our interpreter's lock; return its size on disk in bytes.

    Hard links are counted once.
    """
    run(["find", ".", "-fprintf", target, _FORMAT], cwd=tree)
    blocks = 0
    linked: set[bytes] = set()
    for _, _, attributes, places in _entries(target):
        links, used, inode = places.split(b" ")
        if links == b"1" or attributes[:1] == b"d":
            blocks += int(used)
        elif inode not in linked:
            linked.add(inode)
            blocks += int(used)
    return blocks * 512


def differences(before: Path, tree: Path) -> list[str]:
    """Say what differs between a listing kept and the tree there is now, a line for each path, sorted."""
    descriptor = os.memfd_create("listing")  # no file that a kill could leave
    try:
        now = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        try:
            write_listing(tree, now)
        except CommandError as e:
            return [str(e)]
        if now.read_bytes() == before.read_bytes():  # nothing was even moved
            return []
        old, new = _by_path(before), _by_path(now)
    finally:
        os.close(descriptor)
    lines = [f"{path}: missing" for path in old.keys() - new.keys()]
    lines += [f"{path}: not there at commit" for path in new.keys() - old.keys()]
    lines += [f"{path}: was {old[path]}, is {new[path]}" for path in old.keys() & new.keys() if old[path] != new[path]]
    return sorted(lines)


def _entries(path: Path) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    fields = path.read_bytes().split(b"\0")
    return zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False)


def _by_path(path: Path) -> dict[str, str]:
    found = {}
    for name, target, attributes, _ in _entries(path):
        text = os.fsdecode(attributes)
        if text.startswith("d"):
            # The size of a directory is a matter of its file system and its past.
            kind, mode, user, group, _, time = text.split(" ")
            text = f"{kind} {mode} {user} {group} - {time}"
        found[os.fsdecode(name) or "."] = text + (f" -> {os.fsdecode(target)}" if target else "")
    return found
