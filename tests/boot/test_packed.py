"""Disks are taken out of their archives, and leave nothing behind."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from image_builder.boot.packed import disk_in, netboot_tree
from image_builder.errors import ConfigError

DISK = b"boot" + bytes(3 << 20) + b"end" + bytes(100)


def archive(path: Path, members: dict[str, bytes], *, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("kind", "members", "format"),
    [
        ("ova", {"a.ovf": b"<x/>", "a.mf": b"", "a-disk1.vmdk": DISK}, "vmdk"),
        ("box", {"metadata.json": b"{}", "box.img": DISK}, "qcow2"),
        ("box", {"./box.ovf": b"<x/>", "./box-disk001.vmdk": DISK}, "vmdk"),
        ("gce", {"disk.raw": DISK}, "raw"),
    ],
)
def test_the_disk_of_an_archive(tmp_path: Path, kind: str, members: dict[str, bytes], format: str) -> None:
    with disk_in(archive(tmp_path / "a", members), kind) as (path, found):
        assert (path.read_bytes(), found) == (DISK, format)
        assert path.stat().st_blocks * 512 < len(DISK), "zeros are holes"
        assert path.stat().st_nlink == 0, "a file without a name"


def test_the_disk_in_an_xz(tmp_path: Path) -> None:
    (tmp_path / "a.img.xz").write_bytes(lzma.compress(DISK))
    with disk_in(tmp_path / "a.img.xz", "xz") as (path, found):
        assert (path.read_bytes(), found) == (DISK, "raw")


@pytest.mark.parametrize(
    ("kind", "content"),
    [("xz", b"no xz"), ("xz", lzma.compress(DISK)[:-20]), ("ova", b"no tar"), ("gce", b"")],
    ids=["no xz", "cut off", "no tar", "empty"],
)
def test_a_broken_archive(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(ConfigError, match="broken: cannot be unpacked"), disk_in(tmp_path / "broken", kind):
        pass


def test_an_archive_without_a_disk(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.box", {"metadata.json": b"{}"})
    with pytest.raises(ConfigError, match=r"holds no box.img or \*.vmdk"), disk_in(path, "box"):
        pass


def test_a_tree_for_tftp_has_the_squashfs_that_lies_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = archive(tmp_path / "livecd.x.netboot.tar.gz", {"live/vmlinuz": b"kernel", "grub.pxe": b"loader"})
    with pytest.raises(ConfigError, match=r"livecd.x.netboot.squashfs: there is no such file"), netboot_tree(path):
        pass
    (tmp_path / "livecd.x.netboot.squashfs").write_bytes(b"root")
    with netboot_tree(path) as tree:
        assert (tree / "live/vmlinuz").read_bytes() == b"kernel"
        assert (tree / "live/filesystem.squashfs").read_bytes() == b"root"
    assert not os.path.lexists(tree)


@pytest.mark.parametrize("name", ["../../outside", "/outside", "live/../../outside"])
def test_a_tree_that_leads_out_of_its_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = archive(tmp_path / "x.netboot.tar.gz", {name: b"x"})
    (tmp_path / "x.netboot.squashfs").touch()
    with pytest.raises(ConfigError, match="leads out"), netboot_tree(path):
        pass


def test_a_tree_with_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "x.netboot.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("live")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    (tmp_path / "x.netboot.squashfs").touch()
    with pytest.raises(ConfigError, match="neither a file nor a folder"), netboot_tree(path):
        pass
