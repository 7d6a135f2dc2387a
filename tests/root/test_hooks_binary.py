"""The .binary hooks that pack a root as it is, on a root of a few files: right content, and the same bytes twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[2] / "hooks.d/base"
EPOCH = 1_700_000_000

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _asked_for_as_root() -> None:
    assert os.geteuid() == 0, "these tests pack files of several owners: run them as root"


def make_tree(top: Path, *, names: list[str]) -> Path:
    """A work tree whose root holds the named files, made in this order."""
    root = top / "chroot"
    for folder in ("etc/systemd", "dev", "usr/lib/systemd", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text("VERSION_CODENAME=trixie\n")
    (root / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
    (root / "usr/lib/systemd/systemd").write_text("#!/bin/sh\n")
    (root / "usr/lib/systemd/systemd").chmod(0o755)
    for name in names:
        (root / name).write_text(name * 1000)
        os.chown(root / name, 1234, 5678)
    (root / "old").write_text("older than the build")
    os.utime(root / "old", (1_000_000_000, 1_000_000_000))
    os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))
    return top


@pytest.fixture
def trees(tmp_path: Path) -> list[Path]:
    """Two work trees with the same files, made in another order and at another time."""
    names = [f"file-{n}" for n in range(40)]
    return [make_tree(tmp_path / "a", names=names), make_tree(tmp_path / "b", names=names[::-1])]


def run(hook: str, tree: Path, *, cwd: str = ".", **environment: str) -> subprocess.CompletedProcess[str]:
    base = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARCH": "amd64", "SOURCE_DATE_EPOCH": str(EPOCH)}
    return subprocess.run(
        [HOOKS / f"{hook}.binary"], cwd=tree / cwd, env=base | environment, capture_output=True, text=True, check=False
    )


def made(hook: str, tree: Path, name: str, **environment: str) -> Path:
    result = run(hook, tree, **environment)
    assert result.returncode == 0, result.stderr
    return tree / name


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        ("squashfs", "livecd.debian.squashfs"),
        ("tarball", "livecd.debian.rootfs.tar.xz"),
        ("wsl", "livecd.debian.wsl"),
        ("root-dir", "livecd.debian.root-dir.sha256"),
    ],
)
def test_bytes_depend_on_the_root_alone(trees: list[Path], hook: str, name: str) -> None:
    one = made(hook, trees[0], name, IMAGE_BUILDER_THREADS="1", IMAGE_BUILDER_MEMORY_MB="256")
    two = made(hook, trees[1], name, IMAGE_BUILDER_THREADS="4")
    assert sha256(one) == sha256(two)
    assert not list(trees[0].glob("hook.*"))


def test_plain_live_build_runs_hooks_one_folder_below(trees: list[Path]) -> None:
    (trees[0] / "binary").mkdir()
    assert run("root-dir", trees[0], cwd="binary").returncode == 0
    assert (trees[0] / "livecd.debian.root-dir/etc/os-release").exists()


def test_tarball_keeps_owners_and_cuts_times(trees: list[Path]) -> None:
    with tarfile.open(made("tarball", trees[0], "livecd.debian.rootfs.tar.xz")) as archive:
        members = {member.name: member for member in archive}
    assert (members["./file-7"].uid, members["./file-7"].gid) == (1234, 5678)
    assert members["./file-7"].mtime == EPOCH
    assert members["./old"].mtime == 1_000_000_000
    assert members["./dev/null"].ischr()
    assert list(members) == sorted(members)


def test_wsl_has_what_windows_asks_for_and_each_member_once(trees: list[Path]) -> None:
    with tarfile.open(made("wsl", trees[0], "livecd.debian.wsl", SUITE="trixie")) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        conf = archive.extractfile("./etc/wsl.conf")
        distribution = archive.extractfile("./etc/wsl-distribution.conf")
        assert conf is not None
        assert distribution is not None
        assert "systemd=true" in conf.read().decode()
        assert "defaultName = Debian-trixie" in distribution.read().decode()
    assert len(names) == len(set(names))
    assert "./etc/resolv.conf" not in names
    assert "./dev/null" not in names
    assert next(m for m in members if m.name == "./usr/lib/wsl/oobe.sh").mode & 0o111
    assert next(m for m in members if m.name == "./etc/systemd/system/tmp.mount").linkname == "/dev/null"
    assert not (trees[0] / "chroot/etc/wsl.conf").exists()  # other targets share the root


def test_wsl_is_declined_where_it_does_not_exist(trees: list[Path]) -> None:
    result = run("wsl", trees[0], ARCH="riscv64")
    assert result.returncode == 0
    assert "declined" in result.stderr
    assert not list(trees[0].glob("livecd.*"))


@pytest.mark.parametrize(
    ("hook", "setting", "value"),
    [
        ("squashfs", "SQUASHFS_COMP", "best"),
        ("tarball", "XZ_LEVEL", "10"),
        ("qcow2", "QCOW2_COMPRESSION", "rar"),
        ("live-menus", "LIVE_TIMEOUT", "0"),
    ],
)
def test_a_setting_that_means_nothing_is_named(trees: list[Path], hook: str, setting: str, value: str) -> None:
    (trees[0] / "livecd.debian.img").write_bytes(b"x")
    result = run(hook, trees[0], **{setting: value})
    assert result.returncode == 1
    assert f"{setting}={value}" in result.stderr


def test_live_menus_start_by_themselves_and_a_second_run_changes_nothing(trees: list[Path]) -> None:
    isolinux, grub = trees[0] / "binary/isolinux/isolinux.cfg", trees[0] / "binary/boot/grub/config.cfg"
    isolinux.parent.mkdir(parents=True)
    grub.parent.mkdir(parents=True)
    isolinux.write_text("include menu.cfg\ndefault vesamenu.c32\nprompt 0\ntimeout 0\n")
    grub.write_text("set default=0\n")
    assert run("live-menus", trees[0], LIVE_TIMEOUT="7").returncode == 0
    first = isolinux.read_text(), grub.read_text()
    assert first[0].splitlines()[0] == "serial 0 115200"
    assert "timeout 70" in first[0].splitlines()
    assert "set timeout=7" in first[1].splitlines()
    assert run("live-menus", trees[0], LIVE_TIMEOUT="7").returncode == 0
    assert (isolinux.read_text(), grub.read_text()) == first


def test_a_live_system_without_an_initramfs_is_a_failure(trees: list[Path]) -> None:
    (trees[0] / "binary/live").mkdir(parents=True)
    (trees[0] / "binary/live/initrd.img-6.12").touch()
    result = run("live-menus", trees[0])
    assert result.returncode == 1
    assert "initrd.img-6.12 is empty" in result.stderr


def test_live_menus_without_a_menu_are_a_failure(trees: list[Path]) -> None:
    result = run("live-menus", trees[0])
    assert result.returncode == 1
    assert "no boot menu" in result.stderr


def test_a_tarball_that_fails_in_the_middle_is_a_failure(trees: list[Path]) -> None:
    result = run("tarball", trees[0], PATH=f"{failing_tar(trees[0])}:/usr/sbin:/usr/bin:/sbin:/bin")
    assert result.returncode != 0


def failing_tar(top: Path) -> Path:
    """A folder with a tar that writes a little and fails."""
    folder = top / "bin"
    folder.mkdir()
    (folder / "tar").write_text("#!/bin/sh\necho something\nexit 2\n")
    (folder / "tar").chmod(0o755)
    return folder


@pytest.mark.parametrize("finished", ["chroot/chroot", "binary"])
def test_where_plain_live_build_keeps_the_finished_root_apart_that_one_is_packed(
    trees: list[Path], finished: str
) -> None:
    """Building with the chroot it packs with programs in chroot/, where its own settings still stand."""
    alone, tree = trees
    (tree / "chroot").rename(tree / "finished")
    (tree / "chroot/etc").mkdir(parents=True)
    (tree / "chroot/etc/of-the-build").touch()
    (tree / finished).parent.mkdir(exist_ok=True)
    (tree / "finished").rename(tree / finished)
    (tree / "binary").mkdir(exist_ok=True)
    result = run("tarball", tree, cwd="binary")
    assert result.returncode == 0, result.stderr
    name = "livecd.debian.rootfs.tar.xz"
    assert sha256(tree / name) == sha256(made("tarball", alone, name))
    assert (tree / "chroot/etc/of-the-build").exists()
