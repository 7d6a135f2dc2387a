"""Images that boot: what a table of machines says on the serial console."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from building import Project
from processes import children

from image_builder.boot.check import BootResult, check_boot
from image_builder.boot.firmware import FirmwareKind

pytestmark = pytest.mark.root
GIB = 1 << 30
LONG = pytest.mark.full
# On a very busy machine: the guest's kernel waits 40 ms for the clock to tick, whenever QEMU gets to run.
TIMER = "IO-APIC + timer doesn't work"


@dataclass(frozen=True, eq=False)
class Boot:
    """One machine. says: command typed after the login -> regular expression that finds its answer."""

    image: str
    firmware: FirmwareKind = "bios"
    suite: str = "trixie"
    login: tuple[str, str] | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


LARGER = Boot(
    "qcow2",
    login=("root", "secret"),
    says={
        "df --output=size -BG / | tail -n 1": r"^ *[678]G *$",
        "systemctl is-system-running --wait || systemctl --failed": "running",
    },
    options={"disk_size": 8 * GIB, "set_password": True},
)
VAGRANT = Boot(
    "libvirt.box",
    login=("vagrant", "vagrant"),
    says={
        "sudo -n id -u": "^0$",
        "rsync --version": "^rsync ",
        "grep -c 'vagrant insecure public key' .ssh/authorized_keys": "^2$",
    },
)
# QEMU's TFTP server hands out some MB per second only, and the squashfs stays in the guest's memory.
BY_NETWORK = {"timeout_s": 1500, "memory_mb": 2048}
BOOTS = [
    pytest.param(Boot("iso"), id="iso"),
    pytest.param(LARGER, id="qcow2 on a larger disk"),
    pytest.param(Boot("qcow2", "uefi"), id="qcow2 uefi"),
    pytest.param(Boot("netboot.tar.gz", "bios", options=BY_NETWORK), id="netboot", marks=LONG),
    pytest.param(Boot("netboot.tar.gz", "secure-boot", options=BY_NETWORK), id="netboot secure-boot", marks=LONG),
    pytest.param(Boot("iso", "secure-boot"), id="iso secure-boot", marks=LONG),
    pytest.param(Boot("qcow2", "secure-boot"), id="qcow2 secure-boot", marks=LONG),
    pytest.param(Boot("uefi.img", "secure-boot"), id="uefi.img secure-boot", marks=LONG),
    pytest.param(Boot("vhd"), id="vhd", marks=LONG),
    pytest.param(Boot("gce.tar.gz", "uefi"), id="gce uefi", marks=LONG),
    pytest.param(Boot("ova"), id="ova", marks=LONG),
    pytest.param(VAGRANT, id="vagrant, whose user may do everything", marks=LONG),
    pytest.param(Boot("virtualbox.box"), id="virtualbox", marks=LONG),
    pytest.param(Boot("disk1.img.xz"), id="disk1.img.xz", marks=LONG),
    pytest.param(Boot("iso", suite="bookworm"), id="bookworm iso", marks=LONG),
    pytest.param(Boot("qcow2", suite="bookworm"), id="bookworm qcow2", marks=LONG),
    pytest.param(Boot("qcow2", "uefi", suite="bookworm"), id="bookworm qcow2 uefi", marks=LONG),
]


@pytest.fixture(scope="module")
def bookworm(checkout: Callable[..., Project]) -> Project:
    project = checkout("suite: bookworm\n")
    (project.folder / "image-builder.lock").unlink()  # it is one of trixie
    project.build("squashfs", "qcow2", "iso")
    return project


@pytest.fixture
def image(boot: Boot, request: pytest.FixtureRequest) -> Path:
    """What is booted. All formats are made only for those that need them."""
    quick = boot.image in ("iso", "qcow2", "uefi.img", "netboot.tar.gz")
    project: Project = request.getfixturevalue(
        "bookworm" if boot.suite == "bookworm" else "shipped" if quick else "formats"
    )
    return project.artefact(f"livecd.debian.{boot.image}")


def start(image: Path, boot: Boot, log: Path) -> BootResult:
    options = {"timeout_s": 600.0, "log": log, **boot.options}
    return check_boot(image, firmware=boot.firmware, login=boot.login, commands=list(boot.says), **options)


@pytest.mark.parametrize("boot", BOOTS)
def test_boots(boot: Boot, image: Path, tmp_path: Path) -> None:
    result = start(image, boot, tmp_path / "console")
    if TIMER in result.reason:
        result = start(image, boot, tmp_path / "console again")
    assert result.success, f"{result.reason}\n{result.last_lines()}"
    for (command, expected), output in zip(boot.says.items(), result.outputs, strict=True):
        assert re.search(expected, output.text, re.MULTILINE), f"{command}: {output}"
    assert machines_left() == []


def machines_left() -> list[str]:
    """Programs of QEMU that this process has started and that are still there."""
    names = [Path(f"/proc/{pid}/comm").read_text() for pid in children()]
    return [name for name in names if name.startswith("qemu")]
