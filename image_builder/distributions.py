"""What Debian and Ubuntu do differently with their archives: mirrors, pockets, components, keys. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal["debian", "ubuntu"]


@dataclass(frozen=True)
class Distribution:
    """The habits of one distribution. mirrors and security_mirrors: for the architectures named, "" for all others."""

    name: Name
    mirrors: tuple[tuple[frozenset[str], str], ...]
    security_mirrors: tuple[tuple[frozenset[str], str], ...]
    components: tuple[str, ...]
    keyring: Path
    keyring_package: str
    proposed: str  # the pocket with packages that are being tried: SUITE-proposed-updates
    rolling: frozenset[str] = frozenset()  # suites without any pockets

    def mirror(self, architecture: str) -> str:
        return _of(self.mirrors, architecture)

    def security_mirror(self, architecture: str) -> str:
        return _of(self.security_mirrors, architecture)

    def pockets(self, suite: str, *, updates: bool, security: bool, proposed: bool) -> list[tuple[str, bool]]:
        """(suite, is it the security archive's) of all that packages are taken from, the release itself first.

        >>> UBUNTU.pockets("noble", updates=True, security=True, proposed=False)
        [('noble', False), ('noble-updates', False), ('noble-security', True)]
        """
        found = [(suite, False)]
        if suite not in self.rolling:
            found += [(f"{suite}-updates", False)] if updates else []
            found += [(f"{suite}-security", True)] if security else []
        # asked for by name, so it is no matter of what a suite usually has
        return found + ([(f"{suite}-{self.proposed}", False)] if proposed else [])


_ALL: frozenset[str] = frozenset()
# Ubuntu keeps those two on its main servers and everything else on "ports", security updates included.
_MAIN = frozenset({"amd64", "i386"})
DEBIAN = Distribution(
    name="debian",
    mirrors=((_ALL, "http://deb.debian.org/debian"),),
    security_mirrors=((_ALL, "http://deb.debian.org/debian-security"),),
    components=("main",),
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    keyring_package="debian-archive-keyring",
    proposed="proposed-updates",
    rolling=frozenset({"sid", "unstable", "experimental", "rc-buggy"}),
)
UBUNTU = Distribution(
    name="ubuntu",
    mirrors=((_MAIN, "http://archive.ubuntu.com/ubuntu"), (_ALL, "http://ports.ubuntu.com/ubuntu-ports")),
    security_mirrors=((_MAIN, "http://security.ubuntu.com/ubuntu"), (_ALL, "http://ports.ubuntu.com/ubuntu-ports")),
    components=("main", "universe"),
    keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    keyring_package="ubuntu-keyring",
    proposed="proposed",
)
BY_NAME: dict[str, Distribution] = {one.name: one for one in (DEBIAN, UBUNTU)}

# Code names that are Ubuntu's; for one that comes after them, the configuration says `distribution: ubuntu`.
UBUNTU_SUITES = frozenset({
    "trusty", "xenial", "bionic", "cosmic", "disco", "eoan", "focal", "groovy", "hirsute", "impish", "jammy", "kinetic",
    "lunar", "mantic", "noble", "oracular", "plucky", "questing", "resolute",
})  # fmt: skip


def of_suite(suite: str) -> Name:
    """Whose code name it is.

    >>> of_suite("noble"), of_suite("trixie")
    ('ubuntu', 'debian')
    """
    return "ubuntu" if suite in UBUNTU_SUITES else "debian"


def _of(mirrors: tuple[tuple[frozenset[str], str], ...], architecture: str) -> str:
    return next(uri for architectures, uri in mirrors if not architectures or architecture in architectures)
