"""Machines as QEMU's arguments."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from image_builder.boot import qemu
from image_builder.boot.firmware import Firmware
from image_builder.boot.qemu import Machine, Medium
from image_builder.errors import ConfigError, SurroundingsError

BIOS = Machine(Medium("/proc/self/fd/7", "qcow2"), Firmware("bios"))
UEFI = replace(BIOS, firmware=Firmware("uefi", Path("/f/CODE.fd"), Path("/f/VARS.fd")), variables="/proc/self/fd/8")
SECURE = replace(UEFI, firmware=replace(UEFI.firmware, kind="secure-boot"))


def options(argv: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(argv) if option == name]


def blocks(machine: Machine) -> dict[str, tuple[str, str, bool]]:
    found = [json.loads(value) for value in options(qemu.arguments(machine), "-blockdev")]
    return {b["node-name"]: (b["file"]["filename"], b["driver"], b["read-only"]) for b in found}


def test_a_bios_machine_has_a_disk_and_no_flash() -> None:
    argv = qemu.arguments(BIOS)
    assert options(argv, "-machine") == ["q35"]
    assert blocks(BIOS) == {"medium": ("/proc/self/fd/7", "qcow2", False)}
    assert "virtio-blk-pci,drive=medium,bootindex=1" in options(argv, "-device")


def test_uefi_writes_to_its_copy_of_the_variables_only() -> None:
    assert options(qemu.arguments(UEFI), "-machine") == ["q35,pflash0=code,pflash1=variables"]
    assert blocks(UEFI)["code"] == ("/f/CODE.fd", "raw", True)
    assert blocks(UEFI)["variables"] == ("/proc/self/fd/8", "raw", False)
    assert "/f/VARS.fd" not in " ".join(qemu.arguments(UEFI))


def test_secure_boot_guards_its_variables() -> None:
    argv = qemu.arguments(SECURE)
    assert options(argv, "-machine") == ["q35,smm=on,pflash0=code,pflash1=variables"]
    assert options(argv, "-global") == ["driver=cfi.pflash01,property=secure,value=on"]


def test_an_iso_is_a_read_only_cdrom() -> None:
    machine = replace(BIOS, medium=Medium("/a,b.iso", "raw", cdrom=True))
    assert blocks(machine) == {"medium": ("/a,b.iso", "raw", True)}
    assert "ide-cd,drive=medium,bus=ide.0,bootindex=1" in options(qemu.arguments(machine), "-device")


@pytest.mark.parametrize(("machine", "loader"), [(BIOS, "grub.pxe"), (UEFI, "bootx64.efi")], ids=["bios", "uefi"])
def test_a_netboot_tree_is_served_and_no_disk_is_there(machine: Machine, loader: str) -> None:
    machine = replace(machine, medium=Medium("/a,b", "tftp"))
    assert "medium" not in blocks(machine)
    argv = qemu.arguments(machine)
    assert options(argv, "-netdev") == [f"user,id=net,restrict=off,tftp=/a,,b,bootfile={loader}"]
    rom = "" if machine.firmware.kind == "bios" else ",romfile="
    assert f"virtio-net-pci,netdev=net,bootindex=1{rom}" in options(argv, "-device")


def test_arm64() -> None:
    argv = qemu.arguments(replace(UEFI, architecture="arm64", medium=Medium("/x.iso", "raw", cdrom=True)))
    assert options(argv, "-machine") == ["virt,pflash0=code,pflash1=variables"]
    assert "scsi-cd,drive=medium,bootindex=1" in options(argv, "-device")


@pytest.mark.parametrize(("outside", "restrict"), [(True, "off"), (False, "on")])
def test_network(outside: bool, restrict: str) -> None:
    assert options(qemu.arguments(replace(BIOS, outside=outside)), "-netdev") == [f"user,id=net,restrict={restrict}"]


def test_a_seed_is_a_second_disk_and_not_booted_from() -> None:
    machine = replace(BIOS, seed="/proc/self/fd/9")
    assert blocks(machine)["seed"] == ("/proc/self/fd/9", "raw", True)
    assert "virtio-blk-pci,drive=seed" in options(qemu.arguments(machine), "-device")


def test_a_reboot_ends_a_checked_machine() -> None:
    assert "-no-reboot" in qemu.arguments(replace(BIOS, reboot=False))
    assert "-no-reboot" not in qemu.arguments(BIOS)


def test_kvm_runs_the_processor_of_the_host() -> None:
    argv = qemu.arguments(replace(BIOS, accelerator="kvm"))
    assert (options(argv, "-accel"), options(argv, "-cpu")) == (["kvm"], ["host"])


def test_the_screen_is_followed_on_a_second_port() -> None:
    argv = qemu.consoles(5, (6, "/proc/self/fd/9"))
    assert options(argv, "-serial") == ["chardev:serial", "chardev:screen"]
    assert options(argv, "-fw_cfg") == ["name=etc/sercon-port,file=/proc/self/fd/9"]
    assert options(qemu.consoles(5), "-serial") == ["chardev:serial"]


def test_unknown_architecture() -> None:
    with pytest.raises(ConfigError, match="known: amd64, arm64"):
        qemu.platform("m68k")


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SurroundingsError, match="apt-get install qemu-system-x86"):
        qemu.program("amd64")
