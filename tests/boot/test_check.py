"""The boot check against a QEMU that plays a guest on its serial line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.boot.check import check_boot
from image_builder.boot.dialogue import Output
from image_builder.boot.kvm import Acceleration

FakeQemu = Callable[[str], Path]
TCG = Acceleration("tcg", "a test")

# A getty, a login and a shell, as far as they show on a terminal: with echo, but for the password.
GUEST = """
    import subprocess
    say("\\x1b[2J[    0.000000] Linux version 6.12\\r\\n\\r\\ndebian login: ")
    name = sys.stdin.readline(); say(name); say("Password: ")
    password = sys.stdin.readline()
    if (name, password) != ("root\\n", "secret\\n"):
        say("\\r\\n\\r\\nLogin incorrect\\r\\ndebian login: "); time.sleep(60)
    say("\\r\\n\\x1b[?2004hroot@debian:~# ")
    for line in sys.stdin:
        say(line.replace("\\n", "\\r\\n"))
        out = subprocess.run(["sh", "-c", line], capture_output=True, text=True).stdout
        say(out.replace("\\n", "\\r\\n") + "root@debian:~# ")
"""


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    path = tmp_path / "live.iso"
    path.touch()
    return path


def test_commands_on_the_serial_line(fake_qemu: FakeQemu, iso: Path) -> None:
    fake_qemu(GUEST)
    result = check_boot(iso, timeout_s=30, acceleration=TCG, login=("root", "secret"), commands=["echo a; echo b >&2"])
    assert (result.success, result.reason) == (True, "login prompt, logged in")
    assert result.outputs == (Output("echo a; echo b >&2", 0, "a\nb\n"),)
    assert result.accelerator == "emulation (a test)"


def test_a_wrong_password(fake_qemu: FakeQemu, iso: Path) -> None:
    fake_qemu(GUEST)
    result = check_boot(iso, timeout_s=30, acceleration=TCG, login=("root", "guess"))
    assert (result.success, result.reason) == (False, "the login as root was refused")


def test_the_console_is_kept_while_the_guest_speaks(fake_qemu: FakeQemu, iso: Path, tmp_path: Path) -> None:
    fake_qemu("say('\\x1b[1mstarting\\x1b[m\\r\\n'); time.sleep(60)")
    log = tmp_path / "console.log"
    result = check_boot(iso, timeout_s=2, acceleration=TCG, log=log)
    assert (result.success, result.reason) == (False, "a login prompt or cloud-init's end was not seen within 2 s")
    assert log.read_text() == result.console == result.last_lines() + "\n" == "starting\n"


def test_the_console_outweighs_the_end_it_explains(fake_qemu: FakeQemu, iso: Path) -> None:
    fake_qemu("""
        tell({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}})
        time.sleep(0.05)
        say("[    2.1] Kernel panic - not syncing: no init found\\r\\n")
    """)
    result = check_boot(iso, timeout_s=30, acceleration=TCG)
    assert result.reason == "kernel panic: no init found"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param('tell({"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}})',
                     "the guest switched itself off", id="off"),
        pytest.param('tell({"event": "STOP"}); tell({"return": {"status": "paused"}}); time.sleep(60)',
                     "the guest is stopped (paused)", id="paused"),
        pytest.param("sys.exit('Could not open file')",
                     "QEMU ended with status 1: Could not open file", id="QEMU's error"),
    ],
)  # fmt: skip
def test_an_end_is_a_failure_at_once(fake_qemu: FakeQemu, iso: Path, body: str, reason: str) -> None:
    fake_qemu(body)
    result = check_boot(iso, timeout_s=60, acceleration=TCG)
    assert (result.success, result.reason) == (False, reason)
    assert result.seconds < 30


def test_nothing_of_it_is_left(fake_qemu: FakeQemu, iso: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    fake_qemu(f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); say('login: '); time.sleep(60)")
    before = set(Path("/proc/self/fd").iterdir())
    assert check_boot(iso, timeout_s=30, acceleration=TCG).success
    assert set(Path("/proc/self/fd").iterdir()) == before
    deadline = time.monotonic() + 60
    while Path("/proc", pid_file.read_text()).exists():
        assert time.monotonic() < deadline, "QEMU outlived the check"
