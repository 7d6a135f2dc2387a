"""A virtual machine as data, and QEMU's arguments for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Literal

from image_builder.boot.firmware import Firmware
from image_builder.errors import ConfigError, SurroundingsError

Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Platform:
    """What differs between the architectures a machine can have."""

    program: str
    package: str  # Debian's, with the program
    machine: str
    emulated_cpu: tuple[str, ...]
    cdrom: tuple[str, ...]
    display: tuple[str, ...]
    text_screen: bool  # the BIOS has a text screen, which is followed on a second serial port
    netboot_loader: str  # what UEFI fetches by TFTP: shim


PLATFORMS: dict[str, Platform] = {
    "amd64": Platform(
        program="qemu-system-x86_64",
        package="qemu-system-x86",
        machine="q35",
        # The default model but for cmpxchg16b: with Debian 12's QEMU 7.2 the flags after it were now and then garbage,
        # and the guest kernel, which allocates with it, died of a double fault (2 of 6 boots on a busy host; 0 of 9
        # without). Later QEMU computes these flags in another way; to be tried again when 7.2 is out of use.
        emulated_cpu=("-cpu", "qemu64,-cx16"),
        cdrom=("-device", "ide-cd,drive=medium,bus=ide.0,bootindex=1"),
        # Not shown to anybody, but ISO menus in graphics mode stop without a display adapter.
        display=("-device", "VGA"),
        text_screen=True,
        netboot_loader="bootx64.efi",
    ),
    "arm64": Platform(
        program="qemu-system-aarch64",
        package="qemu-system-arm",
        machine="virt",
        # Without impdef, pointer authentication takes most of the time under emulation.
        emulated_cpu=("-cpu", "max,pauth-impdef=on"),
        cdrom=("-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=medium,bootindex=1"),
        display=(),
        text_screen=False,
        netboot_loader="bootaa64.efi",
    ),
}


@dataclass(frozen=True)
class Medium:
    """What the machine boots from. file is opened by QEMU; it never changes the user's image."""

    file: str
    format: str  # QEMU's name: "raw", "qcow2", "vmdk"; "tftp": file is the folder of a TFTP server
    cdrom: bool = False


@dataclass(frozen=True)
class Machine:
    """A whole machine. Files are paths that QEMU itself can open, so /proc/self/fd/N is one."""

    medium: Medium
    firmware: Firmware
    architecture: str = "amd64"
    accelerator: Accelerator = "tcg"
    memory_mb: int = 1024
    cpus: int = 2
    variables: str | None = None  # this machine's own copy of the firmware's variable store
    seed: str | None = None  # a cloud-init NoCloud disk
    outside: bool = True  # False: the guest gets an address, but reaches nothing
    reboot: bool = True  # False: a reboot ends the machine


def platform(architecture: str) -> Platform:
    """Raises ConfigError for an architecture no machine is described for."""
    if architecture not in PLATFORMS:
        raise ConfigError(
            f"no virtual machine is described for {architecture}",
            where="boot",
            hint=f"known: {', '.join(PLATFORMS)}",
        )
    return PLATFORMS[architecture]


def program(architecture: str) -> str:
    """Return the path of QEMU for that architecture. Raises SurroundingsError naming the package to install."""
    wanted = platform(architecture)
    found = shutil.which(wanted.program)
    if found is None:
        raise SurroundingsError(
            "the program is missing", where=wanted.program, hint=f"apt-get install {wanted.package}"
        )
    return found


def _file(name: str, path: str, driver: str, *, read_only: bool) -> tuple[str, str]:
    # JSON: in the other syntax a comma in a file name begins an option.
    file = {"driver": "file", "filename": path}
    return "-blockdev", json.dumps({"driver": driver, "node-name": name, "read-only": read_only, "file": file})


def arguments(machine: Machine) -> list[str]:
    """Return QEMU's arguments for the machine, without the program and without its consoles."""
    kind = platform(machine.architecture)
    firmware, medium = machine.firmware, machine.medium
    secure = firmware.kind == "secure-boot" and machine.architecture == "amd64"
    flash = firmware.code is not None
    options = "".join((",smm=on" if secure else "", ",pflash0=code,pflash1=variables" if flash else ""))
    argv = ["-nodefaults", "-no-user-config", "-machine", kind.machine + options, "-accel", machine.accelerator]
    argv += ("-cpu", "host") if machine.accelerator == "kvm" else kind.emulated_cpu
    argv += ("-m", str(machine.memory_mb), "-smp", str(machine.cpus), "-display", "none", *kind.display)
    if not machine.reboot:
        argv += ("-no-reboot",)
    if flash:
        argv += _file("code", str(firmware.code), "raw", read_only=True)
        argv += _file("variables", str(machine.variables), "raw", read_only=False)
    if secure:
        # Variables are then written from system management mode only: the guest cannot switch Secure Boot off.
        argv += ("-global", "driver=cfi.pflash01,property=secure,value=on")
    if medium.format != "tftp":
        argv += _file("medium", medium.file, medium.format, read_only=medium.cdrom)
        argv += kind.cdrom if medium.cdrom else ("-device", "virtio-blk-pci,drive=medium,bootindex=1")
    if machine.seed is not None:
        argv += _file("seed", machine.seed, "raw", read_only=True)
        argv += ("-device", "virtio-blk-pci,drive=seed")
    network = f"user,id=net,restrict={'off' if machine.outside else 'on'}"
    if medium.format == "tftp":
        loader = "grub.pxe" if firmware.kind == "bios" else kind.netboot_loader
        argv += ("-netdev", f"{network},tftp={medium.file.replace(',', ',,')},bootfile={loader}")
        # UEFI brings its own PXE; the one in QEMU's ROM (iPXE) tells shim a wrong size of what it fetched.
        rom = "" if firmware.kind == "bios" else ",romfile="
        argv += ("-device", f"virtio-net-pci,netdev=net,bootindex=1{rom}")
    else:
        # Without a ROM the BIOS does not try the network when the disk does not boot, which takes a minute.
        argv += ("-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=")
    argv += ("-device", "virtio-rng-pci")  # emulated processors have no entropy of their own; sshd waits for it
    return argv


def consoles(qmp_fd: int, screen: tuple[int, str] | None = None) -> list[str]:
    """Return the arguments for what is watched: the serial port on stdio, QEMU's control socket, the screen.

    screen: socket, and a file with the port 0x2f8 in it. SeaBIOS then repeats on the second serial port what
    boot loaders print on the text screen; a boot sector or GRUB that fails early says so nowhere else.
    """
    argv = ["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"]
    argv += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
    if screen is not None:
        argv += ["-chardev", f"socket,id=screen,fd={screen[0]}", "-serial", "chardev:screen"]
        argv += ["-fw_cfg", f"name=etc/sercon-port,file={screen[1]}"]
    return argv
