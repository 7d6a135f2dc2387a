"""Images of another architecture than this machine's: arm64 by qemu-user, booted by UEFI in qemu-system-aarch64."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from building import Project, left_behind

from image_builder.architectures import native_architecture
from image_builder.boot.check import check_boot
from image_builder.run import run
from image_builder.sandbox.emulation import runs

pytestmark = [pytest.mark.root, pytest.mark.full]
BOOT_S = 1800.0  # emulated from the firmware on
PASSWORD = "image"
AARCH64 = 183


def hashed(password: str) -> str:
    return run(["openssl", "passwd", "-6", "-salt", "abcdefgh", password]).strip()


@pytest.fixture(scope="module")
def built(checkout: Callable[..., Project]) -> tuple[Project, str]:
    """A squashfs and a disk image of arm64, built at once from nothing, and what the build said."""
    assert native_architecture() != "arm64", "this machine is one itself"
    project = checkout("architecture: arm64\ntimeout_s: 7200\n")
    text = (project.folder / "image-builder.yaml").read_text()
    # systemd gives up on a device after 90 s, in which an emulated machine on a busy one has not yet seen its own.
    console = "console=tty0 console=ttyAMA0,115200n8 systemd.default_device_timeout_sec=900"
    login = f'DISK_LOGIN: plain, DISK_PASSWORD_HASH: "{hashed(PASSWORD)}", DISK_CONSOLE: "{console}"'
    (project.folder / "image-builder.yaml").write_text(text.replace("environment: {", f"environment: {{{login}, "))
    (project.folder / "image-builder.lock").unlink()  # that one pins amd64 alone
    return project, project.run("build", "squashfs", "disk-image-uefi").stderr


@pytest.fixture(scope="module")
def arm(built: tuple[Project, str]) -> Project:
    return built[0]


def test_it_is_said_loudly(built: tuple[Project, str]) -> None:
    project, said = built
    assert "warning: arm64 is emulated by QEMU on this amd64 machine" in said
    assert "programs of arm64 are run by " in said
    assert "qemu-aarch64" in said
    assert any("arm64 is emulated" in warning for warning in project.record()["warnings"])


def test_nothing_is_left_behind(arm: Project) -> None:
    assert left_behind(arm.store) == []
    assert not runs("arm64")


def test_the_squashfs_holds_programs_of_that_architecture(arm: Project, tmp_path: Path) -> None:
    squashfs = arm.artefact("livecd.debian.squashfs")
    run(["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "root", squashfs, "usr/bin", "var/lib/dpkg"])
    (machine,) = struct.unpack_from("<H", (tmp_path / "root/usr/bin/ls").read_bytes(), 18)
    assert machine == AARCH64
    assert not list((tmp_path / "root/usr/bin").glob("qemu-*")), "QEMU is the builder's"


def test_the_disk_has_what_uefi_starts_and_no_partition_for_bios(arm: Project) -> None:
    image = arm.artefact("livecd.debian.uefi.img")
    types = run(["sfdisk", "--dump", image])
    assert "21686148-6449-6E6F-744E-656564454649" not in types, "no BIOS boot partition"
    assert "B921B045-1DF0-41C3-AF44-4C6F280D3FAE" in types, "the root is one of arm64"
    start = next(int(line.split("start=")[1].split(",")[0]) for line in types.splitlines() if "C12A7328" in line)
    files = run(["mdir", "-i", f"{image}@@{start * 512}", "-b", "-/", "::/"], env={"MTOOLS_SKIP_CHECK": "1"})
    assert {"::/EFI/BOOT/BOOTAA64.EFI", "::/EFI/BOOT/grubaa64.efi", "::/EFI/debian/grub.cfg"} <= set(files.split())


def test_the_disk_boots(arm: Project, tmp_path: Path) -> None:
    result = check_boot(
        arm.artefact("livecd.debian.uefi.img"), firmware="uefi", architecture="arm64", timeout_s=BOOT_S,
        log=tmp_path / "console", disk_size=4 << 30, login=("root", PASSWORD),
        commands=["uname -m | grep -x aarch64", "systemctl is-system-running --wait || systemctl --failed | grep '^0 '",
                  "test $(df --output=size -B1M / | tail -n 1) -gt 3000", "grep ttyAMA0 /proc/cmdline"],
    )  # fmt: skip
    assert result.success, f"{result.reason}\n{result.last_lines(40)}"


def test_a_second_build_has_nothing_to_do_and_needs_no_emulation(arm: Project) -> None:
    said = arm.run("build", "squashfs", "disk-image-uefi").stderr
    assert "nothing to do" in said
    assert "programs of arm64 are run" not in said
