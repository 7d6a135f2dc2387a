"""Image files as a machine's media: what format they are, and a throw-away copy that takes the writes."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_builder.boot import packed
from image_builder.boot.qemu import Medium
from image_builder.errors import ConfigError
from image_builder.run import run

# By name, not by content: a guest can write another format's header into its raw disk, and that header could
# name any file of the host as its backing file.
FORMATS = {
    ".img": "raw",
    ".raw": "raw",
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".vhd": "vpc",
    ".iso": "iso",
    # archives with a disk in them
    ".ova": "ova",
    ".box": "box",
    ".gce.tar.gz": "gce",
    ".img.xz": "xz",
    # what a TFTP server serves
    ".netboot.tar.gz": "netboot",
}

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

QEMU_IMG_HINT = "apt-get install qemu-utils"


@dataclass(frozen=True)
class Opened:
    """A medium that is ready, with the descriptors QEMU has to inherit."""

    medium: Medium
    files: tuple[int, ...]


def known_format(image: Path) -> str | None:
    """What the name says of the file, if anything; the longest ending counts."""
    name = image.name.lower()
    endings = [ending for ending in FORMATS if name.endswith(ending)]
    return FORMATS[max(endings, key=len)] if endings else None


def image_format(image: Path) -> str:
    """Return one of FORMATS's values. Raises ConfigError for what QEMU cannot boot, or is not there."""
    known = known_format(image)
    if known is None:
        hint = f"bootable are {', '.join(FORMATS)}"
        if image.suffix in (".xz", ".gz", ".zst"):
            hint = f"unpack it first; {hint}"
        raise ConfigError("this is no image a machine can boot from", where=image, hint=hint)
    if not image.is_file():
        raise ConfigError("there is no such file", where=image)
    return known


def parse_size(text: str) -> int:
    """Return bytes. Raises ConfigError for what is no size.

    >>> parse_size("10G"), parse_size("512MiB"), parse_size("4096")
    (10737418240, 536870912, 4096)
    """
    found = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(f"{text!r} is no size", where="--disk-size", hint="such as 10G, 512M, or a number of bytes")
    return int(found[1]) * UNITS[found[2].upper()]


@contextmanager
def opened(image: Path, *, disk_size: int | None = None) -> Iterator[Opened]:
    """Give a machine the image without ever writing to it.

    disk_size (bytes): the machine sees a disk that large. Raises ConfigError when the image is larger, or no disk.
    The overlay has no name: it is gone with its last user, also after a kill.
    """
    kind = image_format(image)
    if kind in {"iso", "netboot"} and disk_size is not None:
        raise ConfigError(f"an image of the kind {kind} has no disk size", where="--disk-size")
    if kind == "iso":
        yield Opened(Medium(str(image.resolve()), "raw", cdrom=True), ())
    elif kind == "netboot":
        with packed.netboot_tree(image) as folder:
            yield Opened(Medium(str(folder), "tftp"), ())
    elif kind in {"xz", *packed.DISKS}:
        with packed.disk_in(image, kind) as (disk, found), _overlay(disk, found, disk_size) as opened:
            yield opened
    else:
        with _overlay(image.resolve(), kind, disk_size) as opened:
            yield opened


@contextmanager
def _overlay(image: Path, kind: str, disk_size: int | None) -> Iterator[Opened]:
    """A disk whose writes go to a file without a name."""
    size = virtual_size(image, kind)
    if disk_size is not None and disk_size < size:
        raise ConfigError(f"the image itself has {size} bytes, {disk_size} is less", where="--disk-size")
    # /var/tmp, not /tmp: a boot writes hundreds of MB, and Debian 13 keeps /tmp in memory.
    with ExitStack() as stack:
        overlay = stack.enter_context(tempfile.TemporaryFile(dir="/var/tmp"))
        make = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", kind]
        run([*make, f"/proc/{os.getpid()}/fd/{overlay.fileno()}", str(disk_size or size)], hint=QEMU_IMG_HINT)
        yield Opened(Medium(f"/proc/self/fd/{overlay.fileno()}", "qcow2"), (overlay.fileno(),))


def virtual_size(image: Path, kind: str) -> int:
    """Return the size of the disk a guest sees, in bytes."""
    info = run(["qemu-img", "info", "--output=json", "-f", kind, image], hint=QEMU_IMG_HINT)
    return int(json.loads(info)["virtual-size"])


@contextmanager
def copied(template: Path | None) -> Iterator[Opened | None]:
    """Give a machine its own copy of a small file: the firmware's variables. None stays None."""
    if template is None:
        yield None
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(template.read_bytes())
        copy.flush()
        yield Opened(Medium(f"/proc/self/fd/{copy.fileno()}", "raw"), (copy.fileno(),))
