"""The same builds by live-build's old names: lb config, lb build, lb clean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from building import CONFIG, TOP

from image_builder.live_build.hooks import CLEAN_HOOK
from image_builder.live_build.scripts import CLEAN_ROOT, FUNCTIONS
from image_builder.run import run

pytestmark = pytest.mark.root


@pytest.fixture
def folder(store: Path, locked: Path, tmp_path: Path) -> Path:
    """A folder as its users have it: our auto/, a hooks.d, a configuration."""
    shutil.copytree(TOP / "auto", tmp_path / "auto")
    shutil.copytree(TOP / "hooks.d", tmp_path / "hooks.d", symlinks=True)
    shutil.copy2(locked, tmp_path)
    (tmp_path / "image-builder.yaml").write_text(f"{textwrap.dedent(CONFIG)}store: {store}\n")
    return tmp_path


def lb(folder: Path, *words: str, targets: str) -> str:
    """Run lb as a user does; its output. Fails with the end of it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "IMAGE_TARGETS": targets}
    done = subprocess.run(["lb", *words], cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def test_lb_config_makes_what_live_build_reads(folder: Path) -> None:
    lb(folder, "config", targets="squashfs;qcow2")
    links = sorted(p.name for p in (folder / "config/hooks/normal").glob("[0-9][0-9][0-9]-*"))
    assert links == [
        "000-clean-root.binary", "001-squashfs.binary", "002-disk-packages.chroot", "003-disk-system.chroot",
        "004-disk-image.binary", "005-qcow2.binary",
    ]  # fmt: skip
    assert (folder / "config/hooks/live/000-none.chroot").exists()
    assert "SUITE=trixie\n" in (folder / "config/environment.chroot").read_text()
    assert 'LB_DISTRIBUTION="trixie"' in (folder / "config/bootstrap").read_text()
    run(["git", "init", "--quiet"], cwd=folder)
    status = run(["git", "status", "--porcelain", "--untracked-files=all"], cwd=folder)
    assert "001-squashfs" not in status


def check_root(folder: Path) -> str:
    """What a build's own last step in the root says of folder/chroot; raises CommandError with its findings."""
    names = "IMAGE_HOSTNAME=debian BUILDER_HOSTNAME=$(uname -n) FINDINGS=$PWD/findings"
    return run(["sh", "-euc", f"{names}\n{FUNCTIONS}\n{CLEAN_ROOT}\ncheck_root"], cwd=folder)


@pytest.mark.full
def test_lb_build_and_plain_live_build(folder: Path, tmp_path: Path) -> None:
    lb(folder, "config", targets="squashfs;qcow2")
    lb(folder, "build", targets="squashfs;qcow2")
    for name in ("livecd.debian.squashfs", "livecd.debian.qcow2"):
        assert (folder / name).is_file()
        assert not (folder / name).is_symlink()
    assert "already" not in lb(folder, "clean", targets="")
    assert not list(folder.glob("livecd.*"))

    lists = folder / "config/package-lists"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "net.list.chroot").write_text("systemd-resolved\n")  # turns /etc/resolv.conf into a dangling link
    lb(folder, "config", targets="squashfs")
    said = lb(folder, "build", "noauto", targets="squashfs")
    assert "Executing hook config/hooks/normal/001-squashfs.binary" in said
    (tmp_path / "plain").mkdir()  # which Debian 12's does not make
    run(["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "plain/chroot", folder / "livecd.debian.squashfs"])
    assert check_root(tmp_path / "plain") == "I: root is clean\n"
    assert (tmp_path / "plain/chroot/usr/lib/systemd/systemd-resolved").exists()
    lb(folder, "clean", targets="")
    assert not list(folder.glob("livecd.*"))
    assert not (folder / CLEAN_HOOK).exists()
