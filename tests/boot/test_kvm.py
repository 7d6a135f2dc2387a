"""The probe, against QEMUs that answer, break and stay silent."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.boot.kvm import BOOT_SECTOR, Acceleration, boot_sector, probe

FakeQemu = Callable[[str], Path]

STOPPED = """
    qmp.recv(4096)
    tell({"return": {}})
    tell({"event": "STOP"})
    assert b"query-status" in qmp.recv(4096)
    tell({"return": {"status": "internal-error", "running": False}})
    time.sleep(60)
"""


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something to open instead of /dev/kvm, on a machine that could have it."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    path = tmp_path / "kvm"
    path.touch()
    return path


def test_an_answer_means_kvm(fake_qemu: FakeQemu, device: Path) -> None:
    fake_qemu("say('K\\n'); time.sleep(60)")
    assert probe("amd64", device=device, timeout_s=30) == Acceleration("kvm")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("sys.stderr.write('KVM internal error. Suberror: 1\\n'); sys.stderr.flush(); time.sleep(60)",
                     "KVM internal error: this machine's KVM cannot run the guest", id="says so and stays"),
        pytest.param(STOPPED, "KVM internal error: this machine's KVM cannot run the guest", id="stopped"),
        pytest.param("sys.exit('failed to set MSR 0x10a')",
                     "QEMU ended with status 1: failed to set MSR 0x10a", id="ends"),
    ],
)  # fmt: skip
def test_a_broken_kvm_is_told_at_once(fake_qemu: FakeQemu, device: Path, body: str, reason: str) -> None:
    fake_qemu(body)
    assert probe("amd64", device=device, timeout_s=30) == Acceleration("tcg", reason)


def test_a_silent_kvm_is_given_up(fake_qemu: FakeQemu, device: Path) -> None:
    fake_qemu("time.sleep(60)")
    found = probe("amd64", device=device, timeout_s=0.2)
    assert found == Acceleration("tcg", "KVM did not run a boot sector within 0.2 s")
    assert str(found) == "emulation (KVM did not run a boot sector within 0.2 s)"


def test_no_device(fake_qemu: FakeQemu, device: Path) -> None:
    fake_qemu("sys.exit('not to be started')")
    device.unlink()
    assert probe("amd64", device=device) == Acceleration("tcg", f"there is no {device}")


def test_another_architecture(fake_qemu: FakeQemu, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu("sys.exit('not to be started')")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert probe("amd64", device=device) == Acceleration("tcg", "a aarch64 machine does not run amd64 itself")


def test_the_boot_sector_is_one() -> None:
    disk = boot_sector()
    assert disk[510:512] == b"\x55\xaa"
    assert len(disk) == 1 << 20
    assert len(BOOT_SECTOR) <= 0x38, "the descriptor table's address is written into the code"
