"""Listening sockets, also inside a network namespace whose programs have no other way out."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
BACKLOG = 256
# Over the loopback interface, where builds come from, a segment may be 64 kB. A sender whose next one does not fit into
# the window waits for a larger one; a client like apt, which has sent its requests ahead, speaks of that only when its
# delayed acknowledgement is due, 40 ms later. As over Ethernet, where there is no such wait:
SEGMENT_BYTES = 1440
# What is sent and not taken yet. Left to the kernel it begins with 16 kB, and whoever sends is woken for each little
# that a client has taken; this is what the kernel would come to by itself, by net.ipv4.tcp_wmem.
UNTAKEN_BYTES = 4 << 20
SO_SNDBUFFORCE = 32  # of asm-generic/socket.h; the plain SO_SNDBUF goes only up to net.core.wmem_max, which is less


def listening(addresses: list[str], namespace: Path | None = None) -> list[socket.socket]:
    """A socket for each "host:port"; port 0: any. namespace: a file such as /run/netns/NAME or /proc/PID/ns/net.

    A socket stays in the namespace it was made in, while the program goes on in its own: what comes in is from there,
    what the program fetches goes out from here. Only for a program's first thread. Raises OSError, ValueError.
    """
    if namespace is None:
        return [_listening(address) for address in addresses]
    with _inside(namespace):
        return [_listening(address) for address in addresses]


def _listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r} is no HOST:PORT")
    host = host.strip("[]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Whoever is accepted has these too.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
    with suppress(PermissionError):  # without root the kernel decides
        made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, UNTAKEN_BYTES // 2)  # it takes it twice
    made.bind((host, int(port)))
    made.listen(BACKLOG)
    return made


@contextmanager
def _inside(namespace: Path) -> Iterator[None]:
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)
        os.close(there)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the network namespace cannot be entered: {os.strerror(number)}")
