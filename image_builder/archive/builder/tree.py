"""An unpacked source tree, copied for sbuild, with the upstream tarball that its format wants beside it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from debian.changelog import Changelog

from image_builder.errors import ConfigError

IGNORED = shutil.ignore_patterns(".git")  # also a file: of a submodule or a worktree


def copied(tree: Path, folder: Path, epoch: int) -> Path:
    """Copy a tree into a folder, as "tree", and put its upstream tarballs beside it; return the copy.

    Those that lie beside the tree are taken. Where there are none, as beside a git checkout, one is made of all but
    debian/. epoch: POSIX seconds, the time of its files. Raises ConfigError for a tree with applied patches of which
    nobody could tell what it was made from.
    """
    copy = folder / "tree"
    shutil.copytree(tree, copy, symlinks=True, ignore=IGNORED)
    name, upstream, native = _version(copy)
    if native or _format(copy) == "3.0 (native)":
        return copy
    beside = sorted(tree.absolute().parent.glob(f"{name}_{upstream}.orig*.tar.*"))
    for path in beside:
        shutil.copyfile(path, folder / path.name)
    if beside or not _format(copy).startswith("3.0"):
        return copy
    applied = copy / ".pc/applied-patches"
    if applied.is_file() and applied.read_text().strip():
        raise ConfigError(
            "its patches are applied, and the upstream tarball is not beside it",
            where=tree,
            hint=f"put {name}_{upstream}.orig.tar.xz there, or name the .dsc, or undo the patches: quilt pop -a",
        )
    _pack(copy, folder / f"{name}_{upstream}.orig.tar.gz", f"{name}-{upstream}", epoch)
    return copy


def _version(tree: Path) -> tuple[str, str, bool]:
    """Name, upstream version without epoch, and whether there is no revision of Debian's."""
    with (tree / "debian/changelog").open(encoding="utf-8") as f:
        changelog = Changelog(f, max_blocks=1)
    version = changelog.version
    return str(changelog.package), str(version.upstream_version), version.debian_revision is None


def _format(tree: Path) -> str:
    path = tree / "debian/source/format"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "1.0"


def _pack(tree: Path, target: Path, top: str, epoch: int) -> None:
    """The same files give the same bytes but for gzip's own."""

    def settled(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        inside = member.name.partition("/")[2]
        if inside.partition("/")[0] in ("debian", ".pc"):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = epoch
        return member

    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        tar.add(tree, top, filter=settled)
