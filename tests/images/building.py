"""A project folder that a test builds in with the real command, and what a build may leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_builder.layers import Store
from image_builder.lock import Lock

TOP = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("image-builder")
# What `all` stands for, in its order
SHIPPED = tuple(
    line.split()[1]
    for line in (TOP / "hooks.d/base/series/all").read_text().splitlines()
    if line.startswith("depends ")
)
# What costs a root of its own, or a compressor that is slow at its quickest: built by `make test-full`
SLOW = ("incus", "incus-unified", "disk1-img-xz", "vhd", "gce", "ova", "vagrant")
QUICK = tuple(name for name in SHIPPED if name not in SLOW)
assert len(QUICK) + len(SLOW) == len(SHIPPED), "SLOW names what is not shipped"
# Quick compressors: what they make is as real, only larger.
CONFIG = """
    packages: [systemd-sysv, dbus, udev, iproute2, netbase, ca-certificates]
    environment: {SQUASHFS_COMP: lz4, XZ_LEVEL: "0", GZIP_LEVEL: "1"}
"""


@dataclass
class Project:
    """A folder with a configuration and a hooks.d, and the store it builds with."""

    folder: Path
    store: Path
    environment: dict[str, str] = field(default_factory=dict)

    def hook(self, path: str, script: str, *, header: str = "# inputs:\n# packages:\n") -> Path:
        """Write a hook below hooks.d; an existing one is replaced."""
        file = self.folder / "hooks.d" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{header}set -eu\n{textwrap.dedent(script)}\n")
        file.chmod(0o755)
        return file

    def series(self, name: str, text: str) -> None:
        file = self.folder / "hooks.d/base/series" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "hooks.d/chroot").mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.start_plain(*words, "--store", str(self.store))

    def start_plain(self, *words: str) -> subprocess.Popen[str]:
        """image-builder WORDS, for a command without a store."""
        return subprocess.Popen(
            [COMMAND, *words],
            cwd=self.folder, env={**os.environ, "CI": "1", **self.environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """image-builder WORDS in this folder; fails unless it ends with this status."""
        with self.start(*words) as child:
            stdout, stderr = child.communicate()
        assert child.returncode == status, f"exit {child.returncode}\n{stdout}\n{stderr}"
        return subprocess.CompletedProcess(words, child.returncode, stdout, stderr)

    def build(self, *targets: str, status: int = 0) -> dict[str, Any]:
        """Build; return the record."""
        self.run("build", *targets, status=status)
        return self.record()

    def record(self) -> dict[str, Any]:
        record = json.loads((self.folder / "builds/latest/build-record.json").read_text())
        assert isinstance(record, dict)
        return record

    def artefact(self, name: str) -> Path:
        return self.folder / "builds/latest" / name

    def interrupted(self, *targets: str, when: str, by: signal.Signals) -> int:
        """Start a build, end it by a signal when a log says `when` (a regular expression's literal text)."""
        before = set((self.folder / "builds").glob("*"))
        with self.start("build", *targets) as child:
            deadline = time.monotonic() + 300
            while time.monotonic() < deadline and child.poll() is None:
                new = [f for f in set((self.folder / "builds").glob("*")) - before if not f.is_symlink()]
                logs = "".join(log.read_text(errors="replace") for f in new for log in f.glob("logs/*.log"))
                if when in logs:
                    break
                time.sleep(0.05)
            assert child.poll() is None, f"ended before {when!r}: {child.communicate()}"
            os.kill(child.pid, by)
            child.communicate(timeout=120)
        return child.returncode


def copy_without_layers(store: Path, target: Path) -> None:
    """What was fetched, and the tool root if there is one; no layer of an image, and nothing remembered of one."""
    with Store(store) as source:
        tools = [layer.directory for layer in source.list() if layer.meta.get("kind") == "tool-root"]
        (target / "layers").mkdir(parents=True)
        for path in (*tools, source.downloads()):
            place = target / path.relative_to(store)
            subprocess.run(["cp", "-a", "--link", path, place.parent], check=True)


def copy_releases(project: Project, target: Path) -> None:
    """The InRelease files of a project's lock into an empty store. The archive may have replaced them since the lock
    was made, and the snapshot services that keep them are out of a test's reach."""
    file = project.folder / "image-builder.lock"
    lock = Lock.parse(file.read_text(), where=file)
    with Store(project.store) as source, Store(target) as empty:
        place = empty.downloads() / "sha256"
        place.mkdir(parents=True, exist_ok=True)
        for pin in (*lock.archives, *lock.tool_archives):
            shutil.copy2(source.downloads() / "sha256" / pin.inrelease_sha256, place)


def built(record: Mapping[str, Any]) -> list[str]:
    """Names of the layers this build made."""
    return [layer["name"] for layer in record["layers"] if layer["action"] == "built"]


def left_behind(store: Path, *, wait_s: float = 60.0) -> list[str]:
    """Mounts, processes, namespaces and loop devices of a build that still exist, in words.

    wait_s: a killed build's processes are ended by the kernel, which takes its moment on a busy machine.
    """
    deadline = time.monotonic() + wait_s
    while (found := _left(store)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _left(store: Path) -> list[str]:
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(store) in line]
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            sees = (folder / "mountinfo").read_text()
            has_open = " ".join(str(path.readlink()) for path in (folder / "fd").iterdir())
        except OSError:
            continue
        ours = str(store) in has_open and folder.name != str(os.getpid())
        # a process of a step, the proxy, or one that keeps a step's mount namespace alive
        if str(store) in words or str(store) in sees or ours:
            processes.append(f"{folder.name} {words}")
    loops = [p.name for p in Path("/sys/block").glob("loop*") if (p / "loop/backing_file").exists()]
    return mounts + processes + loops
