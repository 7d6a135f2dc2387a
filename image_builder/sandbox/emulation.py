"""Programs of another processor, run by QEMU: the kernel is told of it for as long as a build lasts.

The kernel keeps one list for the whole machine (binfmt_misc), so an entry is seen by everybody; it names its program by
an open file (flag F) and works in any root. Who adds one is a small process of its own that ends when the build's
process does, however that ends, and takes the entry away again unless another build needs it too.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from image_builder.errors import SurroundingsError
from image_builder.run import BASE_ENV
from image_builder.sandbox.namespaces import private_mounts, root_is_mount

BITS_32, BITS_64 = 1, 2


class Machine(NamedTuple):
    """An architecture as ELF files and QEMU name it. ends: instructions of a program that ends with status 0."""

    qemu: str
    bits: int
    number: int  # e_machine
    ends: str  # hexadecimal


# All of these keep the low byte first.
MACHINES = {
    "amd64": Machine("x86_64", BITS_64, 62, "31ff b83c000000 0f05"),
    "arm64": Machine("aarch64", BITS_64, 183, "a80b8052 00008052 010000d4"),
    "armhf": Machine("arm", BITS_32, 40, "0170a0e3 0000a0e3 000000ef"),
    "i386": Machine("i386", BITS_32, 3, "31db b801000000 cd80"),
    "ppc64el": Machine("ppc64le", BITS_64, 21, "01000038 00006038 02000044"),
    "riscv64": Machine("riscv64", BITS_64, 243, "9308d005 13050000 73000000"),
}
START_S = 20.0
HINT = "apt-get install qemu-user-static (Debian 12) or qemu-user (Debian 13)"

# $1 name, $2 what to write into "register". It says "ready", reads until its parent has gone, and cleans up. Locks are
# on two files of binfmt_misc itself, so builds with other stores find each other, and no file is left. The gate (8) is
# held while the list is looked at and changed, the share (9) by each build for as long as it needs the entry. One that
# nobody holds was left by a keeper that was killed: its program may be an old one, so it is made anew.
KEEPER = """\
set -eu
trap '' INT HUP TERM
at=/proc/sys/fs/binfmt_misc
[ -e $at/register ] || mount -t binfmt_misc binfmt_misc $at
exec 8<$at 9<$at/status
flock 8
if flock -n 9 && [ -e "$at/$1" ]; then echo -1 >"$at/$1"; fi
flock -s 9
[ -e "$at/$1" ] || printf %s "$2" >$at/register
flock -u 8
echo ready
read -r forever || :
flock 8
flock -u 9
if flock -n 9 && [ -e "$at/$1" ]; then echo -1 >"$at/$1"; fi
"""


def program(machine: Machine) -> bytes:
    """A whole ELF program that does nothing but end well."""
    code = bytes.fromhex(machine.ends)
    ident = b"\x7fELF" + bytes([machine.bits, 1, 1]) + bytes(9)
    flags = {40: 0x05000000, 21: 2}.get(machine.number, 0)  # of the ABI: EABI 5, ELFv2
    base, executable, load, read_execute, page = 0x100000, 2, 1, 5, 0x1000
    head, part = ("<16sHHIQQQIHHHHHH", "<IIQQQQQQ") if machine.bits == BITS_64 else ("<16sHHIIIIIHHHHHH", "<8I")
    sizes = struct.calcsize(head), struct.calcsize(part)
    start, size = sum(sizes), sum(sizes) + len(code)
    top = struct.pack(head, ident, executable, machine.number, 1, base + start, sizes[0], 0, flags, *sizes, 1, 0, 0, 0)
    if machine.bits == BITS_64:
        segment = struct.pack(part, load, read_execute, 0, base, base, size, size, page)
    else:
        segment = struct.pack(part, load, 0, base, base, size, size, read_execute, page)
    return top + segment + code


def entry(name: str, architecture: str, found: Path) -> str:
    """What is written into binfmt_misc's "register" so that this program runs those of an architecture.

    Source: the kernel's Documentation/admin-guide/binfmt-misc.rst. Bytes are compared where the mask has ones: not the
    ABI's number (byte 7), and a program (2) or a shared library (3) alike.
    """
    machine = MACHINES[architecture]
    magic = b"\x7fELF" + bytes([machine.bits, 1, 1]) + bytes(9) + bytes([2, 0]) + machine.number.to_bytes(2, "little")
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    words = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
    return f":{name}:M::{words[0]}:{words[1]}:{found}:F"


def runs(architecture: str) -> bool:
    """Does this machine run a program of that architecture, in a root that has nothing else in it? Tries it."""
    machine = MACHINES[architecture]
    with TemporaryDirectory(prefix="image-builder-") as folder:
        probe = Path(folder) / "probe"
        probe.write_bytes(program(machine))
        probe.chmod(0o755)
        try:
            words = ["chroot", folder, "/probe"]
            done = subprocess.run(words, check=False, env=BASE_ENV, capture_output=True, timeout=START_S)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def interpreter(architecture: str) -> Path | None:
    """QEMU's program for that architecture on this machine; None: it is not installed."""
    name = f"qemu-{MACHINES[architecture].qemu}"
    found = shutil.which(f"{name}-static", path=BASE_ENV["PATH"]) or shutil.which(name, path=BASE_ENV["PATH"])
    return Path(found).resolve() if found else None


def needed(architecture: str) -> str:
    """How programs of that architecture will be run here, in words; also for a look beforehand.

    Raises SurroundingsError for what is missing.
    """
    if architecture not in MACHINES:
        raise SurroundingsError("cannot be emulated here", where=architecture, hint=f"known: {', '.join(MACHINES)}")
    if runs(architecture):
        return "by this machine's own setting (binfmt_misc)"
    found = interpreter(architecture)
    if found is None:
        raise SurroundingsError(
            "this machine does not run its programs, and QEMU is not there to do it", where=architecture, hint=HINT
        )
    if "binfmt_misc" not in Path("/proc/filesystems").read_text().split():
        raise SurroundingsError(
            "this machine's kernel cannot be told to run its programs by QEMU: it has no binfmt_misc",
            where=architecture, hint="modprobe binfmt_misc; in a container, on its host",
        )  # fmt: skip
    return f"by {found}"


@contextmanager
def emulated(architecture: str) -> Iterator[str]:
    """Let programs of that architecture run for the length of the block. Yields how, in words.

    Raises SurroundingsError for what is missing.
    """
    how = needed(architecture)
    found = interpreter(architecture)
    if found is None or (runs(architecture) and not _ours(architecture)):
        yield how
        return
    name = f"image-builder-{architecture}"
    script = ["sh", "-c", KEEPER, "emulation", name, entry(name, architecture, found)]
    # Where binfmt_misc is not mounted, it is in the keeper's own mounts only.
    command = private_mounts(script, root_is_mount=root_is_mount())
    keeper = subprocess.Popen(
        command, env=BASE_ENV, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the build, which then lets go of it
    )  # fmt: skip
    assert keeper.stdin is not None and keeper.stdout is not None and keeper.stderr is not None
    try:
        if keeper.stdout.readline() != b"ready\n":
            said = keeper.stderr.read().decode(errors="replace").strip()
            raise SurroundingsError(f"the kernel could not be told of {found}: {said}", where=architecture)
        if not runs(architecture):
            raise SurroundingsError(
                f"{found} was registered, and still its programs do not run", where=architecture,
                hint="it has to be linked statically: " + HINT,
            )  # fmt: skip
        yield how
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()
        keeper.stderr.close()


def _ours(architecture: str) -> bool:
    """Is what runs them another build's entry, which may go at any time?"""
    script = 'at=/proc/sys/fs/binfmt_misc; [ -e $at/register ] || mount -t binfmt_misc binfmt_misc $at; [ -e "$at/$1" ]'
    words = ["sh", "-c", script, "sh", f"image-builder-{architecture}"]
    command = private_mounts(words, root_is_mount=root_is_mount())
    return subprocess.run(command, env=BASE_ENV, capture_output=True, check=False).returncode == 0
