"""Builds that are killed on purpose: at which phase, by which signal, and what of them is still there."""

from __future__ import annotations

import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from building import COMMAND, Project, left_behind
from processes import children

from image_builder.layers import Store
from image_builder.sandbox import limits

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGKILL: -signal.SIGKILL}
TARGET = "kill"
# phase -> the step whose time it is; the others are told by what they print or make
STEPS = {
    "base": "base trixie ",
    "packages": "packages (",
    "chroot hook": "chroot base/mark.chroot",
    "finish": "finish",
    "binary hook": "binary base/root.binary",
    "conversion": "binary base/disk.binary",
}
PHASES = ("tool root", "proxy", *STEPS, "collecting")
LAST = STEPS["conversion"]
CHILD_SUBREAPER = 36


def fill(project: Project) -> None:
    """Give a project one target that goes through every phase: packages, a hook in the root, two beside it."""
    (project.folder / "image-builder.yaml").write_text("packages: [bc]\n")
    project.hook(
        "base/mark.chroot", "for n in $(seq 300); do echo $n >/etc/marked.$n; done; sleep 0.3; rm /etc/marked.*"
    )
    project.hook(
        "base/root.binary",
        """
        [ -d chroot ] || cd ..
        mksquashfs chroot livecd.$PROJECT.squashfs -comp lz4 -noappend -quiet -no-progress -xattrs
        """,
    )
    project.hook(
        "base/disk.binary",
        "[ -d chroot ] || cd ..\nqemu-img convert -c -f raw -O qcow2 livecd.$PROJECT.squashfs livecd.$PROJECT.qcow2",
    )
    hooks = "base/mark.chroot\nbase/root.binary\nbase/disk.binary\n"
    project.series(TARGET, f"# all phases\n{hooks}provides livecd.$PROJECT.squashfs\nprovides livecd.$PROJECT.qcow2\n")


@dataclass
class Killer:
    """Kills builds of one project, each in the phase it is told to, and looks at what is left."""

    project: Project
    chance: random.Random
    seconds: dict[str, float]  # phase -> how long it takes
    hit: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    count: int = 0
    pids: list[int] = field(default_factory=list)

    def kill(self, phase: str, by: signal.Signals) -> str:
        """Start a build, end it by a signal at some moment of a phase; what it said. Looks that nothing is left."""
        for attempt in range(1, 6):
            self._forget(phase)
            said, status = self._once(phase, by, self.chance.random() * self.seconds[phase] / attempt)
            if status == 0:  # it was done before that moment
                continue
            assert status == STATUS[by], f"{by.name} in {phase}: exit {status}: {said}"
            assert "Traceback" not in said, said
            self.count += 1
            return said
        raise AssertionError(f"no build lasts until it is killed in {phase}")

    def _forget(self, phase: str) -> None:
        """Remove layers of this phase and the later ones, where an earlier build came that far."""
        steps = [*STEPS]
        first = steps.index(phase) if phase in STEPS else len(steps) - 1
        names = tuple(STEPS[name] for name in steps[first:])
        with Store(self.project.store) as store:
            for layer in store.list():
                if layer.meta["name"].startswith(names):
                    shutil.rmtree(layer.directory)

    def _once(self, phase: str, by: signal.Signals, after_s: float) -> tuple[str, int]:
        before = set(children())
        folders = self._folders()
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryDirectory(dir=self.project.folder) as temporary:
            child = subprocess.Popen(
                [COMMAND, "build", TARGET, "--store", self.project.store],
                cwd=self.project.folder, env={**os.environ, "CI": "1", "TMPDIR": temporary}, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
            )  # fmt: skip

            def text() -> str:
                return os.pread(said.fileno(), 1 << 20, 0).decode(errors="replace")

            try:
                wait(lambda: child.poll() is not None or phase in self._now(text(), folders), 300)
                time.sleep(after_s)
                now = self._now(text(), folders)
                child.send_signal(by)
                child.wait(60)
            finally:
                child.kill()
                child.wait()
            if child.returncode != 0:
                for name in now:
                    self.hit[name] += 1
            self.pids.append(child.pid)
            self._nothing_is_left(before, Path(temporary), f"{by.name} in {now or phase}: {text()}")
            return text(), child.returncode

    def _nothing_is_left(self, before: set[int], temporary: Path, what: str) -> None:
        wait(lambda: not living(before), 30, lambda: f"processes are left: {living(before)}; {what}")
        assert left_behind(self.project.store) == [], what
        with Store(self.project.store) as store:
            assert store.verify(deep=False) == [], what
        # not after SIGKILL either: nothing would ever clear it there
        assert [*temporary.iterdir()] == [], what

    def control_groups(self) -> list[Path]:
        """What sandboxes of killed builds left in the kernel; the next start clears it."""
        tops = {place for place in limits.places() if place}
        return [found for top in tops for pid in self.pids for found in top.glob(f"{limits.PREFIX}{pid}.*")]

    def _folders(self) -> set[Path]:
        return {path for path in (self.project.folder / "builds").glob("2*") if path.is_dir()}

    def _now(self, said: str, folders: set[Path]) -> list[str]:
        """The phases a build is in, as far as one can tell from outside."""
        found = []
        if "making the tool root" in said and "tool root made" not in said:
            found.append("tool root")
        for folder in self._folders() - folders:
            if (folder / "logs/proxy").is_dir() and not (folder / "logs/proxy/ca.pem").exists():
                found.append("proxy")
        for phase, step in STEPS.items():
            if f"] start  {step}" in said and f"] done   {step}" not in said:
                found.append(phase)
        if f"] done   {LAST}" in said:
            found.append("collecting")
        return found


def verify(project: Project, *words: str, status: int = 0) -> str:
    """image-builder store verify WORDS on a project's store; its output."""
    with project.start_plain("store", "--store", str(project.store), "verify", *words) as child:
        stdout, stderr = child.communicate()
    assert child.returncode == status, f"exit {child.returncode}\n{stdout}\n{stderr}"
    return stdout


def durations(said: str, whole_s: float) -> dict[str, float]:
    """How long each phase took in a build that was not disturbed, from its progress."""
    found = {"tool root": 15.0, "proxy": 0.8, "collecting": 0.5}
    for phase, step in STEPS.items():
        match = re.search(rf"\] done   {re.escape(step)}.*?  ([0-9.]+) s", said)
        assert match, said
        found[phase] = float(match[1])
    last = re.search(rf"\[ *([0-9.]+)\] done   {re.escape(LAST)}", said)
    assert last
    found["collecting"] = max(0.1, whole_s - float(last[1]))
    return found


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of processes whose own parent is gone: then none can hide."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(CHILD_SUBREAPER, 0, 0, 0, 0)


def living(before: set[int]) -> list[str]:
    """Command lines of the processes that became ours and still run."""
    found = []
    for pid in set(children()) - before:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait(until: Callable[[], object], seconds: float, what: Callable[[], str] = lambda: "it did not happen") -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, what()
        time.sleep(0.005)
