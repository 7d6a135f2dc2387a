"""Firmware files as Debian 12, Debian 13 and arm64 have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.boot.firmware import Firmware, FirmwareKind, find_firmware
from image_builder.errors import ConfigError, SurroundingsError

OVMF_4M = ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.fd", "OVMF/OVMF_VARS_4M.ms.fd")
OVMF_2M = ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.fd", "OVMF/OVMF_VARS.ms.fd")
AAVMF = ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_CODE.ms.fd", "AAVMF/AAVMF_VARS.fd", "AAVMF/AAVMF_VARS.ms.fd")


def share(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return folder


@pytest.mark.parametrize(
    ("files", "architecture", "kind", "pair"),
    [
        pytest.param(OVMF_4M + OVMF_2M, "amd64", "uefi", ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"), id="bookworm"),
        pytest.param(OVMF_4M, "amd64", "secure-boot", ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"), id="trixie"),
        pytest.param(
            OVMF_2M, "amd64", "secure-boot", ("OVMF_CODE.secboot.fd", "OVMF_VARS.ms.fd"), id="only small ones"
        ),
        pytest.param(
            OVMF_2M + OVMF_4M[:1], "amd64", "uefi", ("OVMF_CODE.fd", "OVMF_VARS.fd"), id="code needs its pair"
        ),
        pytest.param(AAVMF, "arm64", "uefi", ("AAVMF_CODE.fd", "AAVMF_VARS.fd"), id="arm64"),
    ],
)
def test_files(
    tmp_path: Path, files: tuple[str, ...], architecture: str, kind: FirmwareKind, pair: tuple[str, str]
) -> None:
    found = find_firmware(kind, architecture, share=share(tmp_path, *files))
    assert found.code is not None and found.variables is not None
    assert (found.code.name, found.variables.name) == pair


def test_the_bios_needs_no_file(tmp_path: Path) -> None:
    assert find_firmware("bios", "amd64", share=tmp_path) == Firmware("bios")


def test_arm64_has_no_bios(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no BIOS for arm64"):
        find_firmware("bios", "arm64", share=tmp_path)


def test_a_missing_one_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="apt-get install ovmf"):
        find_firmware("secure-boot", "amd64", share=tmp_path)
