"""Sending files: from disk into the connection by the kernel, without passing through this program's memory."""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress

PIECE_BYTES = 8 << 20


class GoneError(Exception):
    """The client does not take it any more."""


def set_timeout(connection: socket.socket, seconds: float) -> None:
    """For blocking reads and writes, sendfile too: Python's own timeout would make the descriptor non-blocking."""
    value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def send(connection: socket.socket, data: bytes, *, more: bool = False) -> None:
    """All of it. more: something follows at once, so that the kernel waits for a full packet. Raises GoneError."""
    try:
        connection.sendall(data, socket.MSG_NOSIGNAL | (socket.MSG_MORE if more else 0))
    except OSError as e:
        raise GoneError(str(e)) from e


def send_both(connection: socket.socket, head: bytes, body: bytes) -> None:
    """The same for two, without making one of them: a body may be large. Raises GoneError."""
    try:
        sent = connection.sendmsg((head, body), (), socket.MSG_NOSIGNAL)
        if sent < len(head):
            connection.sendall(head[sent:], socket.MSG_NOSIGNAL)
            sent = len(head)
        if sent < len(head) + len(body):
            connection.sendall(memoryview(body)[sent - len(head) :], socket.MSG_NOSIGNAL)
    except OSError as e:
        raise GoneError(str(e)) from e


def send_file(connection: socket.socket, descriptor: int, start: int, end: int) -> int:
    """The bytes from start up to end; returns end. Raises GoneError; EOFError for a file that is shorter."""
    while start < end:
        try:
            sent = os.sendfile(connection.fileno(), descriptor, start, min(end - start, PIECE_BYTES))
        except InterruptedError:
            continue
        except OSError as e:
            if e.errno == errno.EIO:
                raise EOFError("the disk cannot be read") from e
            raise GoneError(e.strerror or str(e)) from e
        if sent == 0:
            raise EOFError(f"ends at {start}, not at {end}")
        start += sent
    return start


def cut(connection: socket.socket) -> None:
    """End a connection in the middle of a body, so that nobody can take what came for the whole."""
    linger = struct.pack("ii", 1, 0)  # a reset, not an orderly end
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()
