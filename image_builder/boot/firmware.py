"""Firmware for a virtual machine: where distributions keep BIOS, UEFI and Secure Boot builds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from image_builder.errors import ConfigError, SurroundingsError

FirmwareKind = Literal["bios", "uefi", "secure-boot"]

NAMES: dict[str, str] = {"bios": "BIOS", "uefi": "UEFI", "secure-boot": "UEFI with Secure Boot"}

# (architecture, kind) -> pairs of code and variable store, best first. The variable store decides whether
# Secure Boot is on: ".ms" holds Microsoft's keys, which signed shim, and has it enabled. The code named
# "secboot" refuses to change variables from outside system management mode, so Secure Boot means something.
# Debian 12 has both sizes of OVMF, Debian 13 the 4M one only.
CANDIDATES: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("amd64", "uefi"): (
        ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
        ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
    ),
    ("amd64", "secure-boot"): (
        ("OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.ms.fd"),
        ("OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.ms.fd"),
    ),
    ("arm64", "uefi"): (
        ("AAVMF/AAVMF_CODE.no-secboot.fd", "AAVMF/AAVMF_VARS.fd"),
        ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
    ),
    ("arm64", "secure-boot"): (
        ("AAVMF/AAVMF_CODE.secboot.fd", "AAVMF/AAVMF_VARS.ms.fd"),
        ("AAVMF/AAVMF_CODE.ms.fd", "AAVMF/AAVMF_VARS.ms.fd"),
    ),
}

PACKAGES: dict[str, str] = {"amd64": "ovmf", "arm64": "qemu-efi-aarch64"}


@dataclass(frozen=True)
class Firmware:
    """kind, and for UEFI the two flash images; variables is a template: machines write to a copy of it."""

    kind: FirmwareKind
    code: Path | None = None
    variables: Path | None = None


def find_firmware(kind: FirmwareKind, architecture: str, *, share: Path = Path("/usr/share")) -> Firmware:
    """Return the firmware of that kind; the BIOS is QEMU's own and needs no file.

    Raises ConfigError for a kind the architecture does not have, SurroundingsError naming the package to
    install when the files are missing.
    """
    if kind == "bios" and architecture == "amd64":
        return Firmware(kind)
    pairs = CANDIDATES.get((architecture, kind))
    if pairs is None:
        raise ConfigError(
            f"there is no {NAMES[kind]} for {architecture}", where="boot", hint="arm64 machines boot by UEFI only"
        )
    for code, variables in pairs:
        if (share / code).is_file() and (share / variables).is_file():
            return Firmware(kind, share / code, share / variables)
    raise SurroundingsError(
        f"the firmware for {NAMES[kind]} is missing ({' or '.join(code for code, _ in pairs)})",
        where=share,
        hint=f"apt-get install {PACKAGES[architecture]}",
    )
