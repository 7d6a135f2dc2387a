"""What differs between two roots and the builds that made them, from their manifests and file lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Changes(Generic[T]):
    """By name: what only the second has, what only the first has, what both have differently (first, second)."""

    added: Mapping[str, T]
    removed: Mapping[str, T]
    changed: Mapping[str, tuple[T, T]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def changes(one: Mapping[str, T], two: Mapping[str, T]) -> Changes[T]:
    """Hold two mappings against each other; every result is sorted by name."""
    return Changes(
        {name: two[name] for name in sorted(two.keys() - one.keys())},
        {name: one[name] for name in sorted(one.keys() - two.keys())},
        {name: (one[name], two[name]) for name in sorted(one.keys() & two.keys()) if one[name] != two[name]},
    )


def packages(manifest: str) -> dict[str, str]:
    """A manifest ("name<tab>version" per line) as name -> version."""
    pairs = (line.split("\t") for line in manifest.splitlines() if "\t" in line)
    return {pair[0]: pair[1] for pair in pairs}


@dataclass(frozen=True)
class Entry:
    """One file as `ls -l` tells it, without its time, which every build cuts to its own date.

    mode: "-rw-r--r--". size: bytes; for a device "major, minor"; of folders and links nothing.
    """

    mode: str
    owner: str
    group: str
    size: str = ""
    link: str = ""

    def __str__(self) -> str:
        return " ".join(
            filter(None, (self.mode, f"{self.owner}:{self.group}", self.size, self.link and f"-> {self.link}"))
        )


_LINE = re.compile(
    r"(?P<mode>[-bcdlps][-rwxsStT]{9}[.+@]?) +\d+ (?P<owner>\S+) +(?P<group>\S+) +(?P<size>\d+(?:, +\d+)?) "
    r"+(?:\w{3} +\d+ +[\d:]+) (?P<name>.*)"
)


def files(listing: str) -> dict[str, Entry]:
    """The output of `ls -lR` in the C locale as path ("./etc/hosts") -> entry."""
    found: dict[str, Entry] = {}
    folder = "."
    for line in listing.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            if line.endswith(":") and line.startswith("."):
                folder = line[:-1]
            continue
        name, link = match["name"], ""
        if match["mode"].startswith("l"):
            name, _, link = name.partition(" -> ")
        size = "" if match["mode"][0] in "dlsp" else re.sub(r"\s+", "", match["size"])
        found[f"{folder}/{name}"] = Entry(match["mode"], match["owner"], match["group"], size, link)
    return found
