"""What Debian and Ubuntu do differently: mirrors, pockets, components, keys, names of packages. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal["debian", "ubuntu"]


@dataclass(frozen=True)
class Distribution:
    """The habits of one distribution. mirrors and security_mirrors: for the architectures named, "" for all others.

    names: variable that hooks see -> architecture ("" for all others) -> packages, parted by commas, since live-build
    passes on no value with blanks. $ARCH is the architecture.
    """

    name: Name
    mirrors: tuple[tuple[frozenset[str], str], ...]
    security_mirrors: tuple[tuple[frozenset[str], str], ...]
    components: tuple[str, ...]
    keyring: Path
    keyring_package: str
    proposed: str  # the pocket with packages that are being tried: SUITE-proposed-updates
    names: Mapping[str, Mapping[str, str]]
    rolling: frozenset[str] = frozenset()  # suites without any pockets
    resolved_in_systemd: frozenset[str] = frozenset()  # suites in which systemd-resolved is no package of its own

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

    def packages(self, suite: str, architecture: str) -> dict[str, str]:
        """What the packages that hooks install are called here: variable -> names, parted by commas.

        >>> UBUNTU.packages("noble", "amd64")["PACKAGES_CLOUD_KERNEL"]
        'linux-image-virtual'
        """
        found = {
            variable: by_architecture.get(architecture, by_architecture.get("", "")).replace("$ARCH", architecture)
            for variable, by_architecture in self.names.items()
        }
        return found | ({"PACKAGES_RESOLVED": ""} if suite in self.resolved_in_systemd else {})


_ALL: frozenset[str] = frozenset()
# Ubuntu keeps those two on its main servers and everything else on "ports", security updates included.
_MAIN = frozenset({"amd64", "i386"})
# Boot loaders of a disk, where no package brings all: for UEFI, signed, with shim.
_GRUB_ARM64 = "grub-efi-arm64-bin,grub-efi-arm64-signed,shim-signed,grub2-common"
DEBIAN = Distribution(
    name="debian",
    mirrors=((_ALL, "http://deb.debian.org/debian"),),
    security_mirrors=((_ALL, "http://deb.debian.org/debian-security"),),
    components=("main",),
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    keyring_package="debian-archive-keyring",
    proposed="proposed-updates",
    names={
        "PACKAGES_CLOUD_KERNEL": {"": "linux-image-cloud-$ARCH"},
        "PACKAGES_VM_KERNEL": {"": "linux-image-$ARCH"},  # has the hardware that desktop hypervisors play
        "PACKAGES_LIVE_KERNEL": {"": "linux-image-$ARCH"},
        # Brings the boot loader for BIOS and the signed one with shim, and renews both inside the image
        "PACKAGES_DISK_BOOT": {"amd64": "grub-cloud-amd64", "arm64": _GRUB_ARM64},
        "PACKAGES_LIVE_BOOT": {},  # those of the tool root trust the same kernels
        "PACKAGES_RESOLVED": {"": "systemd-resolved"},
        "PACKAGES_AZURE": {"": "waagent,hyperv-daemons"},
    },
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
    names={
        "PACKAGES_CLOUD_KERNEL": {"": "linux-image-virtual"},
        "PACKAGES_VM_KERNEL": {"": "linux-image-virtual"},
        "PACKAGES_LIVE_KERNEL": {"": "linux-image-generic"},
        # grub-pc and not grub-efi-amd64: the signed GRUB goes with either, and BIOS needs that one.
        "PACKAGES_DISK_BOOT": {
            "amd64": "grub-pc,grub-efi-amd64-bin,grub-efi-amd64-signed,shim-signed", "arm64": _GRUB_ARM64,
        },
        "PACKAGES_LIVE_BOOT": {"amd64": "grub-efi-amd64-signed,shim-signed"},
        "PACKAGES_RESOLVED": {"": "systemd-resolved"},
        "PACKAGES_AZURE": {"": "walinuxagent,linux-cloud-tools-virtual"},
    },
    resolved_in_systemd=frozenset({
        "trusty", "xenial", "bionic", "cosmic", "disco", "eoan", "focal", "groovy", "hirsute", "impish", "jammy",
    }),
)  # fmt: skip
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
