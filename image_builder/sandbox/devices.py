"""Keeps the processes of a control group from the host's disks and other devices, by a program the kernel runs.

Root in a sandbox can make a node for any device, or mount a file system that has them all. Opening one is asked of the
program: memory devices, terminals and FUSE are let through, disks, /dev/mem, /dev/kmsg, /dev/kvm and the rest are not.
Making a node that nobody can open is allowed: roots have them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}  # bpf(2)
PROG_LOAD, PROG_ATTACH = 5, 8
PROGRAM_TYPE, ATTACH_TYPE = 15, 6  # BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE
ALLOW_MULTI = 2  # beside the programs the groups above have
MKNOD, CHARACTER = 1, 2  # of bpf_cgroup_dev_ctx.access_type: what is done << 16 | kind of device

ALLOWED = (
    *((1, minor) for minor in (3, 5, 7, 8, 9)),  # null, zero, full, random, urandom
    *((5, minor) for minor in (0, 2)),  # tty, ptmx; not the console
    (10, 229),  # fuse
)
TERMINALS = range(136, 144)  # /dev/pts/N


def program() -> bytes:
    """The instructions, for little-endian kernels. 1 lets through what bpf_cgroup_dev_ctx tells of, 0 refuses it."""
    load, shift_right, mask, set_to, end = 0x61, 0x77, 0x57, 0xB7, 0x95
    if_equal, if_not_equal, if_greater, if_less = 0x15, 0x55, 0x25, 0xA5
    allow = (set_to, 0, 0, 1), (end, 0, 0, 0)
    code = [
        (load, 0x12, 0, 0),  # r2 = access_type
        (load, 0x14, 4, 0),  # r4 = major
        (load, 0x15, 8, 0),  # r5 = minor
        (0xBF, 0x23, 0, 0),  # r3 = r2
        (shift_right, 3, 0, 16),
        (if_not_equal, 3, 2, MKNOD),
        *allow,
        (mask, 2, 0, 0xFFFF),
        (if_equal, 2, 2, CHARACTER),
        (set_to, 0, 0, 0),
        (end, 0, 0, 0),
        (if_less, 4, 3, TERMINALS.start),
        (if_greater, 4, 2, TERMINALS.stop - 1),
        *allow,
    ]
    for major, minor in ALLOWED:
        code += [(if_not_equal, 4, 3, major), (if_not_equal, 5, 2, minor), *allow]
    code += [(set_to, 0, 0, 0), (end, 0, 0, 0)]
    return b"".join(struct.pack("<BBhi", *instruction) for instruction in code)


def confine(group: Path) -> None:
    """Attach the program to a control group of version 2. Raises OSError where the kernel does not let us."""
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(f"not known how to ask the kernel of {platform.machine()}")
    code = ctypes.create_string_buffer(program())
    license = ctypes.create_string_buffer(b"MIT")
    # prog_type, insn_cnt, insns, license; the rest is zero
    attributes = struct.pack("=IIQQ", PROGRAM_TYPE, len(code) // 8, ctypes.addressof(code), ctypes.addressof(license))
    loaded = _bpf(number, PROG_LOAD, attributes.ljust(72, b"\0"))
    try:
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _bpf(number, PROG_ATTACH, struct.pack("=IIII", directory, loaded, ATTACH_TYPE, ALLOW_MULTI))
        finally:
            os.close(directory)
    finally:
        os.close(loaded)


def _bpf(number: int, command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = libc.syscall(ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes)))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf: {os.strerror(ctypes.get_errno())}")
    return result
