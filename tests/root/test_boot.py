"""Real QEMU, real firmware, and boot sectors small enough to be written here."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from image_builder.boot.check import check_boot
from image_builder.boot.firmware import FirmwareKind
from image_builder.boot.kvm import Acceleration, probe
from image_builder.boot.seed import write_seed
from image_builder.run import run

pytestmark = pytest.mark.root

BOOT = [sys.executable, "-c", "from image_builder.cli.boot import boot; boot()"]
RESET = "the guest reset itself (a reboot, or a triple fault)"
EMULATION = Acceleration("tcg", "a test")
HANG = bytes.fromhex("f4 ebfd")  # hlt, again
TRIPLE_FAULT = bytes.fromhex("0f011e007e cc")  # lidt of nothing, int3
SWITCH_OFF = bytes.fromhex("ba0406 b80020 ef") + HANG  # q35's power management port
ECHO = bytes.fromhex("bafd03 ec 2401 74f8 baf803 ec ee ebf2")  # what is typed comes back, for ever

# Halts when the BIOS sees no more than 2048 sectors (int 13h, 48h), else goes on with what follows.
BIOS_SAYS_LARGER = bytes.fromhex("31c0 8ed8 be007e c7041e00 b448 cd13 66817c1000080000 7704 fa f4 ebfc")
# Halts when the boot sector cannot be written over the second one (int 13h, 43h), else goes on.
BIOS_WRITES = bytes.fromhex("31c0 8ed8 be127c b80043 cd13 7314 fa f4 ebfc 10000100007c00000100000000000000")


def says(text: str, then: bytes) -> bytes:
    """Machine code that writes text to the first serial port."""
    return b"\xfa\xba\xf8\x03" + b"".join(b"\xb0" + bytes([byte]) + b"\xee" for byte in text.encode()) + then


def raw_disk(folder: Path, code: bytes, *, signature: bytes = b"\x55\xaa", sectors: int = 2048) -> Path:
    path = folder / "disk.img"
    path.write_bytes((code.ljust(510, b"\0") + signature).ljust(sectors * 512, b"\0"))
    return path


def iso(folder: Path, code: bytes) -> Path:
    """The least an El Torito CD needs: volume, boot record, catalogue with its checksum, one sector to load."""
    volume = b"\x01CD001\x01".ljust(2048, b"\0")
    record = (b"\x00CD001\x01EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", 19)).ljust(2048, b"\0")
    end = b"\xffCD001\x01".ljust(2048, b"\0")
    validation = b"\x01\0\0\0".ljust(28, b"\0") + struct.pack("<HBB", (-0x0001 - 0xAA55) & 0xFFFF, 0x55, 0xAA)
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    path = folder / "live.iso"
    path.write_bytes(bytes(16 * 2048) + volume + record + end + (validation + entry).ljust(2048, b"\0")
                     + code.ljust(2048, b"\0"))  # fmt: skip
    return path


@pytest.fixture
def login_disk(tmp_path: Path) -> Path:
    return raw_disk(tmp_path, says("Debian\r\n\r\nhost login: ", ECHO))


def test_a_login_prompt(login_disk: Path) -> None:
    result = check_boot(login_disk, timeout_s=60, acceleration=EMULATION)
    assert (result.success, result.reason) == (True, "login prompt")
    assert result.console.startswith("Debian\n\nhost login:")


@pytest.mark.parametrize(
    ("code", "signature", "reason"),
    [
        pytest.param(says("x", TRIPLE_FAULT), b"\x55\xaa", RESET, id="fault"),
        pytest.param(says("x", SWITCH_OFF), b"\x55\xaa", "the guest switched itself off", id="off"),
        pytest.param(says("Kernel panic - not syncing: x\r\n", HANG), b"\x55\xaa", "kernel panic: x", id="panic"),
        pytest.param(b"", b"\0\0", "no bootable device", id="no boot sector, which only the screen says"),
    ],
)  # fmt: skip
def test_what_does_not_boot(tmp_path: Path, code: bytes, signature: bytes, reason: str) -> None:
    result = check_boot(raw_disk(tmp_path, code, signature=signature), timeout_s=60, acceleration=EMULATION)
    assert (result.success, result.reason) == (False, reason)
    assert result.seconds < 30


def test_a_guest_that_says_nothing(tmp_path: Path) -> None:
    result = check_boot(raw_disk(tmp_path, HANG), timeout_s=8, acceleration=EMULATION)
    assert not result.success
    assert "not seen within 8 s" in result.reason
    assert "Booting from Hard Disk" in result.last_lines(), "the screen tells how far it came"


@pytest.mark.parametrize("firmware", ["uefi", "secure-boot"])
def test_uefi_starts_and_finds_nothing(tmp_path: Path, firmware: FirmwareKind) -> None:
    result = check_boot(raw_disk(tmp_path, HANG), firmware=firmware, timeout_s=120, acceleration=EMULATION)
    assert not result.success
    assert result.reason.startswith("no bootable device")


def test_an_iso(tmp_path: Path) -> None:
    result = check_boot(iso(tmp_path, says("live login: ", HANG)), timeout_s=60, acceleration=EMULATION)
    assert (result.success, result.reason) == (True, "login prompt")


@pytest.mark.parametrize("suffix", ["qcow2", "vmdk"])
def test_other_formats(login_disk: Path, suffix: str) -> None:
    image = login_disk.with_suffix(f".{suffix}")
    options = ["-o", "subformat=streamOptimized"] if suffix == "vmdk" else []
    run(["qemu-img", "convert", "-f", "raw", "-O", suffix, *options, login_disk, image])
    assert check_boot(image, timeout_s=60, acceleration=EMULATION).success


def test_a_larger_disk(tmp_path: Path) -> None:
    disk = raw_disk(tmp_path, BIOS_SAYS_LARGER + says("login: ", HANG))
    assert not check_boot(disk, timeout_s=2, acceleration=EMULATION).success
    assert check_boot(disk, timeout_s=60, acceleration=EMULATION, disk_size=2 << 20).success


def test_the_image_is_never_written(tmp_path: Path) -> None:
    disk = raw_disk(tmp_path, BIOS_WRITES + says("login: ", HANG))
    before = hashlib.sha256(disk.read_bytes()).digest()
    assert check_boot(disk, timeout_s=60, acceleration=EMULATION).success
    assert hashlib.sha256(disk.read_bytes()).digest() == before
    assert [file.name for file in tmp_path.iterdir()] == ["disk.img"]


def test_the_probe_answers_under_emulation() -> None:
    assert probe("amd64", accelerator="tcg", timeout_s=30) == Acceleration("tcg")


def test_the_probe_of_kvm_is_quick() -> None:
    begin = time.monotonic()
    found = probe("amd64")
    assert time.monotonic() - begin < 20
    assert found.accelerator == "kvm" or found.reason


def test_a_seed_is_a_disk_that_cloud_init_finds(tmp_path: Path) -> None:
    seed = tmp_path / "seed.img"
    write_seed(seed, "root", "secret")
    found = run(["blkid", "-p", "-o", "export", seed])
    assert "LABEL=CIDATA" in found


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command, waiting for a guest that will never show a prompt, with the number of its QEMU's process."""
    disk = raw_disk(tmp_path, says("started\r\n", HANG))
    command = [*BOOT, str(disk), "--check", "--no-kvm", "--timeout", "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        try:
            log = tmp_path / "disk.img.bios.console.log"
            wait_until(lambda: log.exists() and "started" in log.read_text())
            (qemu,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            yield child, int(qemu)
        finally:
            child.kill()


def wait_until(done: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def files_of(pid: int) -> list[str]:
    """What a process has open below /var/tmp, by a name that a kill would leave there."""
    opened = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [str(path) for path in opened if path.is_relative_to("/var/tmp") and path.exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_qemu_ends_with_its_parent_and_leaves_no_file(
    waiting: tuple[subprocess.Popen[bytes], int], tmp_path: Path, number: signal.Signals
) -> None:
    child, qemu = waiting
    kept = {str(path) for path in tmp_path.iterdir()}
    assert {*files_of(child.pid), *files_of(qemu)} <= kept
    child.send_signal(number)
    child.wait(60)
    wait_until(lambda: is_gone(qemu))


def test_the_console_on_a_terminal(login_disk: Path) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with subprocess.Popen([*BOOT, str(login_disk), "--no-kvm"], stdin=theirs, stdout=theirs, stderr=theirs) as child:
        try:
            shown = b""
            for expected, typed in ((b"login: ", b"r00t\x03"), (b"r00t\x03", b"\x1d"), (b"left with Ctrl-]", b"")):
                while expected not in shown:
                    assert select.select([ours], [], [], 30)[0], shown
                    shown += os.read(ours, 4096)
                os.write(ours, typed)
            assert child.wait(30) == 0
        finally:
            child.kill()
    assert b"Ctrl-] leaves" in shown
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_the_check_as_a_command(login_disk: Path) -> None:
    done = subprocess.run([*BOOT, str(login_disk), "--check", "--no-kvm", "--json"], capture_output=True, check=True)
    assert json.loads(done.stdout)["success"] is True
    assert "emulation (--no-kvm)" in done.stderr.decode()
    assert "host login:" in login_disk.with_name("disk.img.bios.console.log").read_text()
