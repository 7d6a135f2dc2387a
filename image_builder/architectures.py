"""Debian's names for processors, and which of them runs whose programs. Pure but for asking what this one is."""

from __future__ import annotations

import platform

DEBIAN_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}


def native_architecture() -> str:
    """Debian's name for this machine's architecture, "amd64"."""
    machine = platform.machine()
    return DEBIAN_MACHINES.get(machine, machine)


def runs_natively(architecture: str, native: str) -> bool:
    """Does a processor of the second architecture run programs of the first?

    >>> runs_natively("i386", "amd64"), runs_natively("arm64", "amd64")
    (True, False)
    """
    return architecture == native or (architecture, native) == ("i386", "amd64")
