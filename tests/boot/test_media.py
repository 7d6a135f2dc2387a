"""Which files a machine can boot from, and sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.boot.media import copied, image_format, opened, parse_size
from image_builder.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.img", "raw"),
        ("a.raw", "raw"),
        ("livecd.debian.qcow2", "qcow2"),
        ("a.vmdk", "vmdk"),
        ("A.ISO", "iso"),
        ("a.vhd", "vpc"),
        ("a.img.xz", "xz"),
        ("a.ova", "ova"),
        ("b.gce.tar.gz", "gce"),
        ("b.netboot.tar.gz", "netboot"),
    ],
)
def test_formats(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).touch()
    assert image_format(tmp_path / name) == kind


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("root.tar", "no image a machine can boot from"),
        ("disk.img.zst", "unpack it first"),
        ("root.tar.gz", "unpack it first"),
        ("gone.img", "there is no such file"),
    ],
)
def test_what_cannot_be_booted(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image_format(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("10G", 10 << 30), ("512m", 512 << 20), ("2 GiB", 2 << 30), ("1TB", 1 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "10X", "10G;"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("name", ["a.iso", "a.netboot.tar.gz"])
def test_what_has_no_disk_size(tmp_path: Path, name: str) -> None:
    iso = tmp_path / name
    iso.touch()
    with pytest.raises(ConfigError, match="no disk size"), opened(iso, disk_size=1 << 30):
        pass


def test_a_copy_takes_the_writes(tmp_path: Path) -> None:
    template = tmp_path / "VARS.fd"
    template.write_bytes(b"as shipped")
    with copied(template) as copy:
        assert copy is not None
        with Path(copy.medium.file).open("r+b") as file:
            assert file.read() == b"as shipped"
            file.write(b" and changed")
    assert template.read_bytes() == b"as shipped"
    assert [file.name for file in tmp_path.iterdir()] == ["VARS.fd"]
