"""Says what is mounted where in a sandbox, as two fstab files and the little tree they start from; mounts nothing."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from image_builder.sandbox.spec import Sandbox

# A directory every Debian root has and nobody keeps layers below: the staging tmpfs hides it in our namespace only.
STAGE = "/sys"
HOST = ".host"  # where the host's root stays below the new one until the binds are made
MEMORY = "mode=0755"

# redirect_dir: a directory of a lower layer can be renamed; without it rename(2) gives EXDEV, which only mv handles.
# index would tie layers to inode numbers, metacopy would leave file data in the layer below.
OVERLAY = "redirect_dir=on,index=off,metacopy=off"

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
}


def before_pivot(sandbox: Sandbox, of_the_machine: Sequence[str] = ()) -> str:
    """Return the fstab for what is mounted while / is still the host's. Its relative paths count from STAGE.

    of_the_machine: names in /proc that are not the sandbox's own; read-only in it.
    """
    root = f"{STAGE}/r"
    lines = [
        ("overlay", root, "overlay", "lowerdir=t,upperdir=u,workdir=w"),
        ("proc", f"{root}/proc", "proc", "nosuid,nodev,noexec"),
        *((f"{root}/proc/{name}", f"{root}/proc/{name}", "none", "bind,ro") for name in of_the_machine),
        # Read-only for hooks. live-build mounts one of its own in the chroot.
        ("sysfs", f"{root}/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        # Not the host's devices: a hook cannot reach its disks by name.
        (f"{STAGE}/dev", f"{root}/dev", "none", "bind"),
        ("devpts", f"{root}/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("tmpfs", f"{root}/dev/shm", "tmpfs", "mode=1777"),
        ("tmpfs", f"{root}/run", "tmpfs", "mode=0755"),
        ("tmpfs", f"{root}/tmp", "tmpfs", "mode=1777"),
        *_work_tree(sandbox, root + sandbox.work_tree),
    ]
    return _fstab(lines)


def after_pivot(sandbox: Sandbox) -> str:
    """Return the fstab for what is mounted once / is the sandbox's, so that no symlink in it leads to the host."""
    lines = [("tmpfs", target, "tmpfs", MEMORY) for target in sandbox.tmpfs]
    for bind in sandbox.binds:
        lines.append((f"/{HOST}{bind.source.resolve()}", bind.target, "none", "bind,ro" if bind.read_only else "bind"))
    return _fstab(lines)


def skeleton(sandbox: Sandbox, files: Mapping[str, bytes], of_the_machine: Sequence[str] = ()) -> bytes:
    """Return a tar archive of the staging tree: fstabs, devices, links to the layers, and the upper of the tool root.

    files: path without leading slash, as in "etc/hosts" -> content put into the root. Short links stand for the
    layers because mount(2) takes 4095 bytes of options, whatever the store's path is.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        staged = _Staged(tar)
        staged.directory("w", "r", "dev/pts", "dev/shm")
        for name, (major, minor) in DEVICES.items():
            staged.device(f"dev/{name}", major, minor)
        for name, target in DEVICE_LINKS.items():
            staged.link(f"dev/{name}", target)
        staged.link("t", str(sandbox.root.resolve()))
        for number, layer in enumerate(sandbox.lower):
            staged.link(str(number), str(layer.resolve()))
        if sandbox.upper:
            staged.link("U", str(sandbox.upper.resolve()))
        if sandbox.work_directory:
            staged.link("W", str(sandbox.work_directory.resolve()))
        staged.directory("u/proc", "u/sys", "u/dev", "u/run", "u/tmp", f"u/{HOST}", f"u{sandbox.work_tree}")
        for path, content in files.items():
            staged.file(f"u/{path}", content)
        staged.file("before", before_pivot(sandbox, of_the_machine).encode())
        staged.file("after", after_pivot(sandbox).encode())
    return archive.getvalue()


def _work_tree(sandbox: Sandbox, target: str) -> list[tuple[str, str, str, str]]:
    count = len(sandbox.lower)
    lower = "lowerdir=" + ":".join(str(number) for number in reversed(range(count)))  # overlayfs: topmost first
    if sandbox.upper and count:
        options = f"{lower},upperdir=U,workdir=W,{OVERLAY}" + (",volatile" if sandbox.volatile else "")
        return [("overlay", target, "overlay", options)]
    if sandbox.upper:
        return [(f"{STAGE}/U", target, "none", "bind")]
    if count > 1:
        return [("overlay", target, "overlay", f"ro,{lower},{OVERLAY}")]
    if count:
        return [(f"{STAGE}/0", target, "none", "bind,ro")]
    return []


def _fstab(lines: list[tuple[str, str, str, str]]) -> str:
    return "".join(" ".join(_escape(field) for field in line) + " 0 0\n" for line in lines)


def _escape(text: str) -> str:
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in text)


class _Staged:
    """Adds members to a tar archive, each parent directory once."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.made: set[str] = set()

    def directory(self, *paths: str) -> None:
        for path in paths:
            for parent in (*reversed(PurePosixPath(path).parents[:-1]), PurePosixPath(path)):
                if str(parent) not in self.made:
                    self.made.add(str(parent))
                    self._add(str(parent), tarfile.DIRTYPE, mode=0o1777 if parent.name in ("tmp", "shm") else 0o755)

    def device(self, path: str, major: int, minor: int) -> None:
        self._add(path, tarfile.CHRTYPE, mode=stat.S_IMODE(0o666), devmajor=major, devminor=minor)

    def link(self, path: str, target: str) -> None:
        self._add(path, tarfile.SYMTYPE, mode=0o777, linkname=target)

    def file(self, path: str, content: bytes) -> None:
        if (parent := str(Path(path).parent)) != ".":
            self.directory(parent)
        self._add(path, tarfile.REGTYPE, content, mode=0o644, size=len(content))

    def _add(self, path: str, kind: bytes, content: bytes = b"", **fields: object) -> None:
        member = tarfile.TarInfo(path)
        member.type = kind
        for name, value in fields.items():
            setattr(member, name, value)
        self.tar.addfile(member, io.BytesIO(content))
