"""What a hook says of itself in the comments at its top. Pure.

# inputs: ovf/*.tmpl lib/disk.sh      files below hooks.d it reads; "all" for the whole tree
# packages: linux-image-cloud-amd64   packages it installs; none after the colon: it uses no archive
# packages: grub-cloud-amd64[amd64]   for that architecture or distribution alone; [debian+amd64]: both
# architectures: amd64 arm64          where it does something; elsewhere it is not run
# distributions: debian               whose packages it knows; a build of another distribution refuses it
# snaps: all                          it sees the seed of the target's snaps, or of those named, below $SNAP_SEED
# tree: binary/live/vmlinuz-*         files of the work tree that decide its result: while they are the same, so is it
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

HEADER_BYTES = 8192


class Header(NamedTuple):
    """inputs, packages, architectures, snaps and distributions are None where the hook does not say."""

    inputs: tuple[str, ...] | None
    packages: tuple[str, ...] | None
    architectures: tuple[str, ...] | None
    snaps: tuple[str, ...] | None = None
    tree: tuple[str, ...] = ()
    distributions: tuple[str, ...] | None = None


def chosen(words: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """The words of `# packages:` that are for a build of which these names are true.

    known: its architecture and its distribution.

    >>> chosen(["zstd", "grub-cloud-amd64[debian+amd64]", "shim-signed[arm64]"], {"debian", "amd64"})
    ('zstd', 'grub-cloud-amd64')
    """
    found = []
    for word in words:
        match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", word)
        name, condition = (match[1], match[2]) if match else (word, None)
        if condition is None or set(condition.split("+")) <= set(known):
            found.append(name)
    return tuple(found)


def parse(text: str) -> Header:
    """Read the comment lines a script begins with; several lines of one kind add up.

    >>> parse("#!/bin/sh\\n# inputs: lib/a.sh\\n# packages:\\necho")
    Header(inputs=('lib/a.sh',), packages=(), architectures=None, snaps=None, tree=(), distributions=None)
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in text[:HEADER_BYTES].splitlines():
        if not line.startswith("#"):
            if line.strip():
                break
            continue
        match = re.match(r"#\s*(inputs|packages|architectures|snaps|tree|distributions):(.*)", line)
        if match:
            words = tuple(w for w in match[2].replace(",", " ").split() if w != "none")
            found[match[1]] = found.get(match[1], ()) + words
    return Header(
        found.get("inputs"),
        found.get("packages"),
        found.get("architectures"),
        found.get("snaps"),
        found.get("tree", ()),
        found.get("distributions"),
    )
