"""Images inside archives, taken out for the length of a boot; nothing of it has a name that could stay behind."""

from __future__ import annotations

import fnmatch
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from image_builder.errors import ConfigError
from image_builder.scratch import scratch

# Format of the archive -> patterns of the member that is the disk, and that member's format
DISKS: dict[str, tuple[tuple[str, str], ...]] = {
    "ova": (("*.vmdk", "vmdk"),),
    "box": (("box.img", "qcow2"), ("*.vmdk", "vmdk")),
    "gce": (("disk.raw", "raw"),),
}
BLOCK = 1 << 20


@contextmanager
def disk_in(archive: Path, kind: str) -> Iterator[tuple[Path, str]]:
    """The disk in an archive of that kind ("ova", "box", "gce", "xz"), as (path, format).

    The path is that of an open file without a name. Raises ConfigError for an archive that is broken, or that
    holds no disk.
    """
    # /var/tmp, not /tmp: a disk has hundreds of MB, and Debian 13 keeps /tmp in memory.
    with tempfile.TemporaryFile(dir="/var/tmp") as disk:
        try:
            if kind == "xz":
                with lzma.open(archive) as packed:
                    _copy(packed, disk)
                found = "raw"
            else:
                with tarfile.open(archive) as tar:
                    found = _member(archive, tar, DISKS[kind], disk)
        except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as e:
            raise ConfigError(f"cannot be unpacked: {e}", where=archive) from e
        yield Path(f"/proc/{os.getpid()}/fd/{disk.fileno()}"), found


def _member(archive: Path, tar: tarfile.TarFile, wanted: tuple[tuple[str, str], ...], disk: IO[bytes]) -> str:
    for member in tar:
        for pattern, kind in wanted:
            if member.isfile() and fnmatch.fnmatchcase(member.name.removeprefix("./"), pattern):
                content = tar.extractfile(member)
                assert content is not None  # a file has some
                _copy(content, disk)
                return kind
    raise ConfigError(f"holds no {' or '.join(pattern for pattern, _ in wanted)}", where=archive)


def _copy(source: IO[bytes], disk: IO[bytes]) -> None:
    """Zeros become holes: most of a disk is empty."""
    while block := source.read(BLOCK):
        if block.count(0) == len(block):
            disk.seek(len(block), os.SEEK_CUR)
        else:
            disk.write(block)
    disk.truncate(disk.tell())
    disk.flush()


@contextmanager
def netboot_tree(archive: Path) -> Iterator[Path]:
    """The folder a TFTP server has to serve: the archive's content, and the squashfs that lies beside it.

    Raises ConfigError when the archive is broken or the squashfs is not there.
    """
    squashfs = archive.with_name(archive.name.removesuffix(".tar.gz") + ".squashfs")
    if not squashfs.is_file():
        raise ConfigError("there is no such file, which the live system is in", where=squashfs)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "image-builder"
    with scratch(cache) as folder:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    _take_out(member, tar, folder)
        except (tarfile.TarError, EOFError, OSError) as e:
            raise ConfigError(f"cannot be unpacked: {e}", where=archive) from e
        (folder / "live/filesystem.squashfs").symlink_to(squashfs.resolve())
        yield folder


def _take_out(member: tarfile.TarInfo, tar: tarfile.TarFile, folder: Path) -> None:
    """Folders and files only: a netboot tree has nothing else. (The tarfile of Debian 12 has no filters.)"""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name!r} leads out of the archive's folder")
    if member.isdir():
        (folder / path).mkdir(parents=True, exist_ok=True)
        return
    content = tar.extractfile(member) if member.isfile() else None
    if content is None:
        raise tarfile.TarError(f"{member.name!r} is neither a file nor a folder")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("xb") as file:
        shutil.copyfileobj(content, file, BLOCK)
