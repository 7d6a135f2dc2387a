"""What a project's package lists ask for, as far as it can be known before live-build reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

OWN_LIST = "package-lists/image-builder.list.chroot"


class Wanted(NamedTuple):
    """names: words as apt-get takes them. dynamic: why the lists cannot be known beforehand, "" if they can."""

    names: tuple[str, ...]
    dynamic: str
    executes: bool  # a list runs commands in the root ("!..."), so live-build has to build with the chroot


def is_read(name: str) -> bool:
    """Does a chroot step read this file of config/package-lists?"""
    return re.search(r"\.list(\.chroot(_install|_live)?)?$", name) is not None


def wanted(lists: Mapping[str, str]) -> Wanted:
    """lists: file name below config/package-lists -> text.

    >>> wanted({"a.list.chroot": "# tools\\nvim  curl\\n"}).names
    ('vim', 'curl')
    """
    names: list[str] = []
    dynamic, executes = "", False
    for name in sorted(filter(is_read, lists)):
        for number, raw in enumerate(lists[name].splitlines(), 1):
            line = raw.strip()
            if line.startswith("!"):
                dynamic, executes = f"{name}:{number} runs a command", True
            elif re.match(r"#(if|nif)\s", line):
                dynamic = dynamic or f"{name}:{number} is conditional"
            elif "%" in line or "\\" in line:
                dynamic = dynamic or f"{name}:{number} holds what live-build's printf interprets"
            elif not line.startswith("#"):
                names += line.split()
    return Wanted(tuple(_once(names)), dynamic, executes)


def own_list(packages: Iterable[str]) -> str:
    """The text of the list made from `packages:` in the configuration."""
    return "".join(f"{name}\n" for name in packages)


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
