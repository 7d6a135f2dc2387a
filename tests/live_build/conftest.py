"""The shell functions of the steps, run by sh in a small work tree, with a live-build that is a script of the test."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from image_builder.live_build.scripts import CLEAN_ROOT, FUNCTIONS

Shell = Callable[..., tuple[int, str]]
Plant = Callable[[Mapping[str, str]], None]

# What every finished root has, as the checks expect it.
ROOT = {
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n",
    "etc/resolv.conf": "",
    "etc/machine-id": "",
    "etc/apt/apt.conf.d/01autoremove": "APT::NeverAutoRemove { };\n",
    "var/lib/dpkg/status": "",
    "var/log/lastlog": "",
    "var/cache/apt/pkgcache": "",
}
FOLDERS = (
    "boot dev/pts etc/ssh etc/dpkg/dpkg.cfg.d proc root run sys tmp usr/sbin usr/bin bin var/tmp var/lib/dbus "
    "var/lib/systemd var/lib/ucf var/lib/apt/lists var/cache/ldconfig var/cache/debconf"
)


def plant(root: Path, files: Mapping[str, str]) -> None:
    """Write files below root; "-> target" makes a link, a name that ends in / a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif text.startswith("-> "):
            path.unlink(missing_ok=True)
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)


@pytest.fixture(name="plant")
def plant_in_work(work: Path) -> Plant:
    """Write files below the work tree, see `plant`."""
    return lambda files: plant(work, files)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work tree of a step, with a clean root in it."""
    work = tmp_path / "build"
    plant(work / "chroot", {**{f"{name}/": "" for name in FOLDERS.split()}, **ROOT})
    (work / "config").mkdir()
    (work / ".build").mkdir()
    (tmp_path / "host").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "host/resolv.conf").write_text("nameserver 192.0.2.53\n")
    return work


@pytest.fixture
def shell(work: Path) -> Shell:
    """Run functions of step.sh and clean_root.sh in the work tree: (exit status, what they printed).

    The step's own /tmp and /etc/resolv.conf, which it has in its namespace, are folders of the test here.
    """
    own = {"/etc/resolv.conf": f"{work.parent}/host/resolv.conf", "/tmp/": f"{work.parent}/tmp/"}
    functions = re.sub(r"(?<![\w/])(/etc/resolv\.conf|/tmp/)", lambda m: own[m[0]], f"{FUNCTIONS}\n{CLEAN_ROOT}")

    def shell(body: str, *, lb: str = "", **environment: str) -> tuple[int, str]:
        """lb: body of the script that stands for live-build's command."""
        program = work.parent / "bin/lb"
        program.write_text(f"#!/bin/sh -e\n{lb}\n")
        program.chmod(0o755)
        made = subprocess.run(
            ["sh", "-euc", f"{functions}\n{body}"],
            cwd=work,
            env={
                "PATH": f"{program.parent}:{os.environ['PATH']}",
                "LC_ALL": "C",
                "IMAGE_HOSTNAME": "debian",
                "BUILDER_HOSTNAME": "buildd-7",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return made.returncode, made.stdout

    return shell
