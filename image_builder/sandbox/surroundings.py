"""What a sandbox needs of the host, looked at before anything is started."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from image_builder.errors import SurroundingsError
from image_builder.sandbox.spec import Sandbox

# In every procfs, whatever namespace it is of: what is written there is for the whole machine.
OF_THE_MACHINE = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")


def of_the_machine() -> tuple[str, ...]:
    """Names in /proc, of those this kernel has, by which root could change the machine."""
    return tuple(name for name in OF_THE_MACHINE if Path("/proc", name).exists())


def check(sandbox: Sandbox) -> None:
    """Raise SurroundingsError for what is missing, in words; mount(8) would not name it."""
    if os.geteuid() != 0:
        raise SurroundingsError("namespaces and mounts need root", where="the sandbox", hint="run it with sudo")
    if Path("/proc/self").readlink().name != str(os.getpid()):
        # The script reads its number there; a wrong one would have us kill a stranger.
        raise SurroundingsError("shows another PID namespace than ours", where="/proc", hint="mount -t proc proc /proc")
    for path in (sandbox.root, *sandbox.lower, *([sandbox.upper] if sandbox.upper else [])):
        if not path.is_dir():
            raise SurroundingsError("no such directory", where=path)
    if not (sandbox.root / "usr/bin/mount").exists():
        raise SurroundingsError("has no mount program", where=sandbox.root, hint="include the package 'mount' in it")
    for bind in sandbox.binds:
        if not bind.source.exists():
            raise SurroundingsError("no such file or directory", where=bind.source)


def files(sandbox: Sandbox) -> dict[str, bytes]:
    """What the tool root's /etc needs of the host, as regular files: there it may be a dangling symlink."""
    files = {
        "etc/hosts": f"127.0.0.1 localhost {sandbox.hostname}\n::1 localhost\n".encode(),
        "etc/hostname": f"{sandbox.hostname}\n".encode(),
        "etc/resolv.conf": b"",
    }
    if sandbox.network != "none":
        for path in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
            with suppress(OSError):
                files[path] = Path("/", path).read_bytes()
    return files
