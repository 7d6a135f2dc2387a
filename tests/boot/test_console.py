"""Console texts as machines wrote them, and what they decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.boot.console import Transcript, last_lines, verdict

OVMF_SHELL_REFUSED = (
    'BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x2,0x0): Not Found\n'
    'BdsDxe: loading Boot0002 "EFI Internal Shell" from Fv(7CB8)/FvFile(7C04)\n'
    'BdsDxe: starting Boot0002 "EFI Internal Shell" from Fv(7CB8)/FvFile(7C04)\n'
    'BdsDxe: failed to start Boot0002 "EFI Internal Shell" from Fv(7CB8)/FvFile(7C04): Security Violation\n'
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("Debian GNU/Linux 13 debian ttyS0\n\ndebian login: ", "login prompt", id="agetty"),
        pytest.param("login:", "login prompt", id="bare prompt"),
        pytest.param("x\ndebian login: [   26.1] random: crng init done\n", "login prompt", id="kernel talks after it"),
        pytest.param(
            "[   31.2] cloud-init[512]: Cloud-init v. 25.1.4 finished at Sat, 21 Nov 2026. Up 31.2 seconds\n",
            "cloud-init has finished",
            id="cloud-init",
        ),
    ],
)
def test_success(text: str, reason: str) -> None:
    seen = verdict(text)
    assert seen is not None
    assert (seen.success, seen.reason) == (True, reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
            "kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
            id="panic",
        ),
        pytest.param(
            "error: no such device: 3f1c.\nEntering rescue mode...\ngrub rescue> ",
            "GRUB rescue shell: GRUB does not find its own files: error: no such device: 3f1c.",
            id="grub rescue",
        ),
        pytest.param(
            "GNU GRUB  version 2.12\n\n   Minimal BASH-like line editing is supported.\n\ngrub> ",
            "GRUB stopped at its prompt: it found no menu",
            id="grub prompt",
        ),
        pytest.param("Boot failed: not a bootable disk\n\nNo bootable device.\n", "no bootable device", id="SeaBIOS"),
        pytest.param("BdsDxe: No bootable option or device was found.\n", "no bootable device", id="OVMF"),
        pytest.param(OVMF_SHELL_REFUSED, "no bootable device", id="OVMF's own shell, refused by Secure Boot"),
        pytest.param(
            "\nUEFI Interactive Shell v2.2\n", "no bootable device: UEFI started its own shell", id="UEFI shell"
        ),
        pytest.param(
            'BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x3,0x0): Access Denied\n',
            'Secure Boot violation: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x3,0x0): '
            "Access Denied",
            id="unsigned boot loader",
        ),
        pytest.param(
            "error: ../../grub-core/kern/efi/sb.c:182:bad shim signature.\n",
            "Secure Boot violation: error: ../../grub-core/kern/efi/sb.c:182:bad shim signature.",
            id="unsigned kernel",
        ),
        pytest.param(
            "ALERT!  UUID=7f0a does not exist.  Dropping to a shell!\n\nBusyBox v1.37.0\n\n(initramfs) ",
            "initramfs emergency shell: ALERT!  UUID=7f0a does not exist.  Dropping to a shell!",
            id="initramfs-tools",
        ),
        pytest.param(
            "(initramfs) Unable to find a medium containing a live file system\n",
            "initramfs emergency shell",
            id="live",
        ),
        pytest.param(
            'Warning: /dev/disk/by-uuid/7f0a does not exist\n\nGenerating "/run/initramfs/rdsosreport.txt"\n\n'
            "Entering emergency mode. Exit the shell to continue.\n",
            "dracut emergency shell: Warning: /dev/disk/by-uuid/7f0a does not exist",
            id="dracut",
        ),
        pytest.param(
            "You are in emergency mode. After logging in, type journalctl -xb\nroot login: ",
            "systemd emergency shell: emergency",
            id="systemd, whatever prompt comes with it",
        ),
    ],
)
def test_failure(text: str, reason: str) -> None:
    seen = verdict(text)
    assert seen is not None
    assert (seen.success, seen.reason) == (False, reason)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[  OK  ] Started systemd-logind.service - User Login Management.\n", id="logind"),
        pytest.param("Last login: Sat Nov 21 11:00:00 UTC 2026 on ttyS0\n", id="last login"),
        pytest.param("cloud-init[311]: Cloud-init v. 25.1.4 running 'init' at Sat\n", id="cloud-init still at work"),
        pytest.param('BdsDxe: failed to load Boot0001 "UEFI Misc Device": Not Found\n', id="UEFI goes on to the next"),
        pytest.param("Loading GRUB menu\nBooting `Debian GNU/Linux'\n", id="boot loader"),
    ],
)
def test_still_open(text: str) -> None:
    assert verdict(text) is None


def test_escapes_are_taken_out() -> None:
    transcript = Transcript()
    transcript.feed(b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[?2004h\x1b[1m\x1b[33mhost\x1b(B\x1b[m login: \x1b]0;title\x07\r\n")
    assert transcript.text == "\nhost login: \n"


def test_rows_that_are_addressed_become_lines() -> None:
    transcript = Transcript()
    transcript.feed(b"Mapping table\x1b[04;01HPress ESC")
    assert transcript.text == "Mapping table\nPress ESC"


@given(st.lists(st.sampled_from(["a", "é", "\n", "\x1b", "[1;1H", "[0m", "]0;t", "\x07", "(B", "7", "\0"])), st.data())
def test_pieces_do_not_matter(parts: list[str], data: st.DataObject) -> None:
    raw = "".join(parts).encode()
    cut = data.draw(st.integers(0, len(raw)))
    whole, pieces = Transcript(), Transcript()
    whole.feed(raw)
    assert pieces.feed(raw[:cut]) + pieces.feed(raw[cut:]) == whole.text


def test_last_lines_leave_out_empty_ones() -> None:
    assert last_lines("one\n\ntwo \nthree\n\n", 2) == "two\nthree"
