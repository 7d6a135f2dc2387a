"""Handing a connection over: bytes go back and forth, as they are, until both ends are done."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from proxy.serving.bodies import set_timeout

PIECE_BYTES = 256 << 10


def tunnel(client: socket.socket, to: tuple[str, int], start: bytes) -> int:
    """Connect to an address of this machine, send what the client has sent so far, and then pass on what comes.

    Returns when both directions have ended: the port by which the other end knew this connection.
    """
    with socket.create_connection(to, timeout=10) as other:
        other.settimeout(None)
        known_by: int = other.getsockname()[1]
        set_timeout(client, 0)  # which end is silent for how long is mitmproxy's to judge
        other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other.sendall(start)
        back = threading.Thread(target=_copy, args=(other, client), daemon=True)
        back.start()
        _copy(client, other)
        back.join()
        return known_by


def _copy(source: socket.socket, target: socket.socket) -> None:
    buffer = memoryview(bytearray(PIECE_BYTES))
    try:
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
    except OSError:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
