"""The kernel is told to run foreign programs for as long as somebody needs it, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from image_builder.sandbox.emulation import MACHINES, emulated, runs

pytestmark = pytest.mark.root

HOLD = """
    import sys
    from image_builder.sandbox.emulation import emulated
    with emulated("arm64") as how:
        print(how, flush=True)
        sys.stdin.readline()
"""


def until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another build's process, in the block of emulated("arm64")."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert "qemu-aarch64" in child.stdout.readline()
        yield child


@pytest.fixture(autouse=True)
def nobody_else_needs_it() -> Iterator[None]:
    assert not runs("arm64"), "this machine runs arm64 by a setting of its own: nothing to test here"
    yield
    until(lambda: not runs("arm64"), "an entry was left behind")


def test_programs_run_within_the_block_and_not_after_it() -> None:
    mounts = Path("/proc/mounts").read_text()
    with emulated("arm64") as how:
        assert how.startswith("by /usr/bin/qemu-aarch64")
        assert runs("arm64")
        assert Path("/proc/mounts").read_text() == mounts, "on this machine nothing is mounted for it"
    assert not runs("arm64")


@pytest.mark.parametrize("architecture", [name for name in MACHINES if name not in ("amd64", "i386")])
def test_every_architecture_that_is_known(architecture: str) -> None:
    assert not runs(architecture)
    with emulated(architecture):
        assert runs(architecture)
    assert not runs(architecture)


def test_who_goes_last_takes_it_away() -> None:
    with ExitStack() as stack, holder() as other:
        stack.enter_context(emulated("arm64"))
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait() == 0
        assert runs("arm64"), "this one still needs it"
        stack.close()
        assert not runs("arm64")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_goes_with_the_build_however_that_ends(by: signal.Signals) -> None:
    with holder() as build:
        os.kill(build.pid, by)
        build.wait()
    until(lambda: not runs("arm64"), f"still there after {by.name}")


@pytest.fixture
def mounted() -> Iterator[None]:
    """The list of the kernel's is mounted somewhere, as on most machines; entries outlive who made them then."""
    script = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && echo mounted && exec cat"
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"mounted\n"
        yield


@pytest.mark.usefixtures("mounted")
def test_what_a_killed_keeper_left_is_made_anew() -> None:
    with holder() as build:
        children = Path(f"/proc/{build.pid}/task/{build.pid}/children").read_text().split()
        (keeper,) = (int(pid) for pid in children)
        os.kill(keeper, signal.SIGKILL)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
    assert runs("arm64"), "nobody was there to take it away"
    with emulated("arm64"):
        assert runs("arm64")
    assert not runs("arm64")
