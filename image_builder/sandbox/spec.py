"""What a sandbox is made of, told before anything is mounted; what came of a command run in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from image_builder.errors import ConfigError


@dataclass(frozen=True)
class Bind:
    """A file or directory of the host, seen inside.

    target: absolute path inside, "/build/config" or "/build/chroot/var/cache/apt/archives". A target that is
    not there is made; below the work tree it becomes part of the layer. Symlinks on the way are followed
    inside the sandbox, never on the host. Mounts below source are not carried along.
    """

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Sandbox:
    """The view a command gets, and what it may reach.

    root: the tool root; it becomes / through an overlay whose upper is in memory, so writes there are lost.
    It needs the packages coreutils and mount.
    lower: diff directories of layers, lowest first. upper: the diff directory of the layer being made; None: the
    work tree is read-only. With neither, the work tree is an empty directory in memory.
    volatile: no file of the upper is synced when it is unmounted; who keeps the layer syncs once.
    work_tree: where the stack is mounted and the command starts; always the same path, so that no layer knows it.
    network: "host"; "none" (a loopback device and nothing else); or the handle of a network namespace
    (/run/netns/NAME, /proc/PID/ns/net).
    environment: all the command sees besides PATH, HOME, LC_ALL and TZ, which it may override.
    memory_bytes: what its processes and files in memory may take together; None: no limit. processes: how many there
    may be at once, threads included. Both hold where control groups can be made (see limits.missing).
    nests: the command runs strangers' programs only as another user than root, in namespaces it makes itself. Nothing
    covers /proc then, since the kernel gives no new one to who sees not all of it.
    """

    root: Path
    lower: Sequence[Path] = ()
    upper: Path | None = None
    volatile: bool = True
    work_tree: str = "/build"
    binds: Sequence[Bind] = ()
    tmpfs: Sequence[str] = ()
    network: Path | Literal["host", "none"] = "host"
    environment: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "localhost"
    memory_bytes: int | None = None
    processes: int | None = 4096
    nests: bool = False

    def __post_init__(self) -> None:
        for path in (self.work_tree, *self.tmpfs, *(bind.target for bind in self.binds)):
            parts = PurePosixPath(path).parts
            if not path.startswith("/") or len(parts) < 2 or ".." in parts or "\0" in path:
                raise ConfigError("not an absolute path below / without '..'", where=repr(path))
        for name, value in self.environment.items():
            if not name or "=" in name or "\0" in name + value:
                raise ConfigError("not a name and value an environment can hold", where=repr(name))

    @property
    def work_directory(self) -> Path | None:
        """The directory overlayfs needs beside the upper, on the same file system; emptied for every command."""
        return self.upper.with_name(self.upper.name + ".work") if self.upper and self.lower else None


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    exit_status: 0…255, a signal n is 128 + n. seconds: wall time with set-up and tear-down.
    max_rss_bytes: of the largest single process; the figure is never below the caller's own size, which the
    kernel hands down over exec. left_running: names of processes that outlived the command and were ended.
    out_of_memory: it failed and the kernel killed something for memory meanwhile, not surely in this sandbox.
    stopped: why the caller's watch had it ended; empty: it had not.
    """

    exit_status: int
    seconds: float
    timed_out: bool = False
    cancelled: bool = False
    max_rss_bytes: int | None = None
    left_running: tuple[str, ...] = ()
    out_of_memory: bool = False
    stopped: str = ""
