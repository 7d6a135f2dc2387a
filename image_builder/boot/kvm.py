"""Whether KVM runs guests here: asked of a boot sector, since /dev/kvm can open and still not work."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from image_builder.boot import qemu
from image_builder.boot.firmware import Firmware
from image_builder.boot.guest import started

HOST_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

ANSWER = b"K"

# As BIOS and UEFI firmware begin: in real mode, a floating point reset with its wait, then 32-bit protected mode
# and the same again, then the answer on the first serial port. A KVM that has to emulate instead of running (a
# guest that is itself paravirtualised) is slow in the first half and gives up in the second.
BOOT_SECTOR = bytes.fromhex(
    "fa 31c0 8ed8"  # cli; ds = 0
    "9bdbe3"  # finit
    "2e660f0116507c"  # lgdt [0x7c50]
    "0f20c0 0c01 0f22c0"  # cr0 |= 1
    "66ea1f7c00000800"  # jmp 8:0x7c1f
    "66b81000 8ed8"  # ds = 0x10
    "9bdbe3"  # finit
    "66baf803 b04b ee"  # out 0x3f8, 'K'
    "b00a ee"  # out 0x3f8, newline
    "f4 ebfd"  # hlt, for ever
)
DESCRIPTORS = bytes.fromhex("0000000000000000 ffff0000009acf00 ffff00000092cf00 1700387c0000")  # at 0x7c38

# arm64 has no boot sectors: this is the firmware itself, at address 0. Its serial port is a PL011 at 0x09000000.
FLASH_ARM64 = bytes.fromhex(
    "0120a1d2"  # movz x1, #0x900, lsl #16
    "60098052"  # movz w0, #'K'
    "200000b9"  # str w0, [x1]
    "00000014"  # b .
)


@dataclass(frozen=True)
class Acceleration:
    """What to run guests with; reason says why it is not KVM, and is empty when it is."""

    accelerator: qemu.Accelerator
    reason: str = ""

    def __str__(self) -> str:
        return "KVM" if self.accelerator == "kvm" else f"emulation ({self.reason})"


def boot_sector() -> bytes:
    """Return a disk of 1 MiB whose boot sector answers; SeaBIOS takes none of a single sector."""
    sector = BOOT_SECTOR.ljust(0x38, b"\0") + DESCRIPTORS
    return (sector.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")


def probe(
    architecture: str,
    *,
    device: Path = Path("/dev/kvm"),
    accelerator: qemu.Accelerator = "kvm",
    timeout_s: float = 2.0,
) -> Acceleration:
    """Find out in at most timeout_s whether KVM runs a guest of that architecture.

    Raises SurroundingsError when QEMU is missing. accelerator: "tcg" asks the emulation, to test the probe.
    """
    program = qemu.program(architecture)
    if accelerator == "kvm":
        if platform.machine() != HOST_MACHINES[architecture]:
            return Acceleration("tcg", f"a {platform.machine()} machine does not run {architecture} itself")
        if not device.exists():
            return Acceleration("tcg", f"there is no {device}")
        if not os.access(device, os.R_OK | os.W_OK):
            return Acceleration("tcg", f"no permission to use {device}")
    with TemporaryFile() as disk:
        disk.write(FLASH_ARM64.ljust(64 << 20, b"\0") if architecture == "arm64" else boot_sector())
        disk.flush()
        argv = _arguments(architecture, accelerator, f"/proc/self/fd/{disk.fileno()}")
        deadline = time.monotonic() + timeout_s
        with started(program, argv, files=[disk.fileno()]) as guest:
            while guest.end is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return Acceleration("tcg", f"KVM did not run a boot sector within {timeout_s:g} s")
                if any(ANSWER in data for channel, data in guest.wait(left) if channel == "serial"):
                    return Acceleration(accelerator)
            return Acceleration("tcg", guest.end)


def _arguments(architecture: str, accelerator: qemu.Accelerator, file: str) -> list[str]:
    if architecture == "arm64":
        cpu = "host" if accelerator == "kvm" else "max"
        return ["-nodefaults", "-no-user-config", "-machine", "virt", "-accel", accelerator, "-cpu", cpu, "-m", "64",
                "-display", "none", "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={file}"]  # fmt: skip
    machine = qemu.Machine(
        medium=qemu.Medium(file, "raw"),
        firmware=Firmware("bios"),
        accelerator=accelerator,
        memory_mb=16,
        cpus=1,
        outside=False,
        reboot=False,
    )
    return qemu.arguments(machine)
