"""What a step sees of config/ and hooks.d: only the files it reads, so that an undeclared read fails.

A stage is a mapping of paths to items; its digest goes into the key, its files into the step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import ConfigError

# Parts of config/ by who reads them (live-build's own folder names).
PREPARE_PARTS = ("archives", "apt", "packages", "packages.chroot", "preseed")
PACKAGES_PARTS = (
    "includes.chroot",
    "includes.chroot_before_packages",
    "includes.chroot_after_packages",
    "package-lists",
)
FINISH_PARTS = (
    "archives",
    "apt",
    "includes.chroot",
    "includes.chroot_before_packages",
    "includes.chroot_after_packages",
)
IMAGE_PARTS = (
    "archives", "bootloaders", "debian-installer", "dm-verity", "includes", "includes.binary", "includes.installer",
    "package-lists", "packages", "packages.binary", "rootfs",
)  # fmt: skip
ENVIRONMENT_FILES = ("environment", "environment.chroot", "environment.binary")


USUAL_FOLDER = 0o755


@dataclass(frozen=True)
class Item:
    """One file to stage: bytes, a copy of a file, a link, or a folder of its own. mode: permission bits."""

    data: bytes | None = None
    source: Path | None = None
    link: str | None = None
    mode: int = 0o644
    directory: bool = False  # only empty folders and those of an unusual mode; others come with their files

    def content(self) -> bytes:
        """What the digest sees of it."""
        if self.link is not None:
            return b"link\0" + os.fsencode(self.link)
        if self.directory:
            return b"folder\0"
        if self.source is not None:
            return b"file\0" + self.source.read_bytes()
        return b"file\0" + (self.data or b"")


Stage = Mapping[str, Item]


def text(value: str, *, mode: int = 0o644) -> Item:
    return Item(data=value.encode(), mode=mode)


def file(path: Path, *, executable: bool = False) -> Item:
    """A copy of a file, links followed. executable: as a hook, whatever its mode is in the tree.

    Write permission for others is left out: it tells the umask of whoever made the checkout.
    """
    mode = path.stat().st_mode & 0o7777 & ~0o022
    return Item(source=path, mode=mode | 0o111 if executable else mode)


def folder(root: Path, at: str) -> dict[str, Item]:
    """Everything below a folder, links kept as links, to be staged below `at`. A missing folder is empty."""
    found: dict[str, Item] = {}
    for base, folders, names in os.walk(root):
        here = Path(base)
        folders.sort()
        for name in sorted(names + [f for f in folders if (here / f).is_symlink()]):
            path = here / name
            staged = f"{at}/{path.relative_to(root)}"
            if path.is_symlink():
                found[staged] = Item(link=str(path.readlink()))
            elif path.is_file():
                found[staged] = file(path)
            else:
                raise ConfigError("is neither a file, a folder nor a link", where=path)
        mode = here.stat().st_mode & 0o777 & ~0o022
        if here != root and (mode != USUAL_FOLDER or not (folders or names)):
            found[f"{at}/{here.relative_to(root)}"] = Item(mode=mode, directory=True)
    return found


def parts(config_dir: Path, names: Iterable[str]) -> dict[str, Item]:
    """Those folders and files of config/, staged below their own names."""
    found: dict[str, Item] = {}
    for name in names:
        path = config_dir / name
        if path.is_dir():
            found |= folder(path, name)
        elif path.is_file():
            found[name] = file(path)
    return found


def digest(stage: Stage) -> str:
    """SHA-256 (hex) over path, mode and content of every item, in the order of paths."""
    total = hashlib.sha256()
    for path in sorted(stage):
        item = stage[path]
        inner = hashlib.sha256(item.content()).hexdigest()
        total.update(f"{path}\0{item.mode:o}\0{inner}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def digests(root: Path) -> dict[str, str]:
    """Path below a hooks.d -> SHA-256 (hex) of mode and content; not of what make-hooks writes there."""
    found = folder(root, ".")
    found.pop("./explicit_provides", None)
    return {path.removeprefix("./"): digest({"": item}) for path, item in sorted(found.items())}


def write(stage: Stage, target: Path) -> None:
    """Put every item of a stage below an empty folder."""
    target.mkdir(parents=True, exist_ok=True)
    for path, item in stage.items():
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if item.directory:
            place.mkdir(exist_ok=True)
            continue
        if item.link is not None:
            place.symlink_to(item.link)
            continue
        if item.source is not None:
            shutil.copyfile(item.source, place)
        else:
            place.write_bytes(item.data or b"")
        place.chmod(item.mode)
    for path in sorted(stage, reverse=True):  # at last, and the inner ones first: one may be closed to writing
        if stage[path].directory:
            (target / path).chmod(stage[path].mode)
