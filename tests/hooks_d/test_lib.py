"""The shared shell functions of the hooks, each run by bash on its own."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

LIB = Path(__file__).parents[2] / "hooks.d/lib"

Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a line of bash in a tree with a root, after common.sh and disk.sh were read."""
    (tmp_path / "chroot/etc").mkdir(parents=True)
    (tmp_path / "chroot/etc/os-release").write_text("VERSION_CODENAME=trixie\n")

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["bash", "-euc", f". {LIB}/common.sh; . {LIB}/disk.sh; {line}", "test.binary"],
            cwd=tmp_path,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARCH": "amd64", "SOURCE_DATE_EPOCH": "1700000000"}
            | environment,
            capture_output=True,
            check=False,
        )

    return run


def test_the_suite_is_read_from_the_root_unless_given(shell: Shell) -> None:
    assert shell("echo $PROJECT $SUITE").stdout == b"debian trixie\n"
    assert shell("echo $PROJECT $SUITE", PROJECT="mine", SUITE="sid").stdout == b"mine sid\n"


def test_without_a_root_the_hook_says_where_it_looked(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "chroot/etc/os-release").unlink()
    (tmp_path / "chroot/etc").rmdir()
    result = shell("true")
    assert result.returncode == 1
    assert f"{tmp_path}/chroot".encode() in result.stderr


@pytest.mark.parametrize(
    ("threads", "memory_mb", "per_thread_mb", "expected"),
    [
        pytest.param("4", "", 100, b"4", id="no limit"),
        pytest.param("4", "250", 100, b"2", id="memory decides"),
        pytest.param("4", "4000", 100, b"4", id="processors decide"),
        pytest.param("4", "50", 100, b"1", id="never below one"),
    ],
)
def test_threads(shell: Shell, threads: str, memory_mb: str, per_thread_mb: int, expected: bytes) -> None:
    limits = {"IMAGE_BUILDER_THREADS": threads, "IMAGE_BUILDER_MEMORY_MB": memory_mb}
    assert shell(f"threads_for {per_thread_mb}", **limits).stdout == expected


def test_identifiers_follow_from_the_words_alone(shell: Shell) -> None:
    first, again, other = (shell(f"uuid_of {words}").stdout.decode().strip() for words in ("a b", "a b", "a c"))
    assert first == again != other
    assert str(uuid.UUID(first)) == first
    assert uuid.UUID(first).version == 8
    assert uuid.UUID(first).variant == uuid.RFC_4122


def test_a_format_that_the_architecture_has_not_is_declined_aloud(shell: Shell) -> None:
    result = shell("have_architecture arm64 riscv64; echo went on")
    assert (result.returncode, result.stdout) == (0, b"")
    assert b"declined" in result.stderr
    assert shell("have_architecture arm64 amd64; echo went on").stdout == b"went on\n"


@pytest.mark.parametrize("number", [0, 1, 255, 256, 2048, 0x0820, 2**40 + 7])
def test_numbers_are_written_with_the_lowest_byte_first(shell: Shell, number: int) -> None:
    assert shell(f"little_endian 8 {number}").stdout == number.to_bytes(8, "little")


@pytest.mark.parametrize("number", [0, 1, 0x0102, 2**31 + 5])
def test_numbers_are_written_with_the_highest_byte_first(shell: Shell, number: int) -> None:
    assert shell(f"big_endian 4 {number}").stdout == number.to_bytes(4, "big")


def test_the_bios_loader_is_told_where_its_second_part_lies(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "boot.img").write_bytes(b"B" * 512)
    (tmp_path / "core.img").write_bytes(b"C" * (5 * 512 + 1))
    (tmp_path / "disk").write_bytes(bytes(4 << 20))
    result = shell("write_core disk . 2048 2048")
    assert result.returncode == 0, result.stderr
    disk = (tmp_path / "disk").read_bytes()
    assert disk[:0x5C] == b"B" * 0x5C
    assert int.from_bytes(disk[0x5C:0x64], "little") == 2048
    assert disk[0x66:0x68] == b"\x90\x90"
    assert disk[440:512] == bytes(72)  # the partition table's part of the sector is left alone
    core = disk[2048 * 512 :]
    assert int.from_bytes(core[500:508], "little") == 2049
    assert (
        int.from_bytes(core[508:510], "little") == 5
    )  # six sectors, the last one not full; the first is loaded already
    assert core[510:512] == b"\x20\x08"
    assert core[512 : 5 * 512 + 1] == b"C" * (4 * 512 + 1)


def test_a_bios_loader_too_large_for_its_partition_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "core.img").write_bytes(bytes(3 * 512))
    (tmp_path / "boot.img").write_bytes(bytes(512))
    result = shell("write_core disk . 2048 2")
    assert result.returncode == 1
    assert b"3 sectors" in result.stderr


@pytest.mark.parametrize("suffix", [".signed", ""], ids=["as Debian names it", "as Ubuntu names it"])
def test_what_uefi_starts_is_where_the_signed_grub_looks(shell: Shell, tmp_path: Path, suffix: str) -> None:
    """Ubuntu's shim is behind two links that only its own root can follow."""
    shim, grub = tmp_path / "chroot/usr/lib/shim", tmp_path / "chroot/usr/lib/grub/x86_64-efi-signed"
    shim.mkdir(parents=True)
    grub.mkdir(parents=True)
    (tmp_path / "chroot/etc/alternatives").mkdir()
    (shim / "shimx64.efi.signed").symlink_to("/etc/alternatives/shimx64.efi.signed")
    (tmp_path / "chroot/etc/alternatives/shimx64.efi.signed").symlink_to("/usr/lib/shim/shimx64.efi.signed.latest")
    (shim / "shimx64.efi.signed.latest").write_bytes(b"shim")
    (shim / f"mmx64.efi{suffix}").write_bytes(b"manager")
    (grub / "grubx64.efi.signed").write_bytes(b"MZ\0\1/EFI/vendor\0more")
    result = shell("esp_tree esp 1-2-3")
    assert result.returncode == 0, result.stderr
    boot = tmp_path / "esp/EFI/BOOT"
    assert [(boot / name).read_bytes() for name in ("BOOTX64.EFI", "mmx64.efi")] == [b"shim", b"manager"]
    assert "search.fs_uuid 1-2-3 root" in (tmp_path / "esp/EFI/vendor/grub.cfg").read_text()

    (grub / "grubx64.efi.signed").write_bytes(b"MZ, and nothing it would look for")
    assert b"does not say where it looks" in shell("esp_tree esp 1-2-3").stderr
    (shim / f"mmx64.efi{suffix}").unlink()
    result = shell("esp_tree esp 1-2-3")
    assert result.returncode != 0
    assert b"none of these is there: chroot/usr/lib/shim/mmx64.efi.signed" in result.stderr


def test_content_is_counted_in_blocks_and_hard_links_once(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(bytes(3 << 20))
    (tmp_path / "tree/b").hardlink_to(tmp_path / "tree/a")
    assert shell("content_mb tree").stdout == b"4"  # three, the folder's own block, rounded up


def test_fstab_without_a_uuid_is_said(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "chroot/etc/fstab").write_text("# none\nUUID=12-34 /boot/efi vfat x 0 0\n/dev/vda1 / ext4 x 0 1\n")
    assert shell("fstab_id /boot/efi").stdout == b"12-34"
    result = shell("fstab_id /")
    assert result.returncode == 1
    assert b"no UUID for /" in result.stderr
