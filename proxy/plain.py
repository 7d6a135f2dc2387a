"""The shortest way to a small file: one request over a connection that is open, one answer that is what was expected.

http.client reads everything a server may say, which is most of what a small file from a near mirror waits for.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

HEAD_MAX_BYTES = 8 << 10
PIECE_BYTES = 256 << 10
_STATUS = re.compile(rb"HTTP/1\.1 200[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)")
# What makes of the bytes that follow something else than the file, or says that nothing comes after it.
_UNUSUAL = re.compile(
    rb"\r\n(?:transfer-encoding|content-encoding|content-range|connection:(?![ \t]*keep-alive[ \t]*\r))|\n[ \t]"
)


class UnusualError(Exception):
    """Not the plain answer: the connection is of no use any more."""


def ask(sock: socket.socket, target: str, headers: dict[str, str]) -> None:
    """Send the request. target, headers: as they stand in it. Raises OSError, UnusualError."""
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if " " in target or not all(line.isprintable() and line.isascii() for line in lines):
        raise UnusualError
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))


def answer(sock: socket.socket, size_bytes: int, until: float, write: Callable[[bytes], object]) -> bool:
    """Hand the file of this size to write, in pieces; False: more did not come in time. until: monotonic; also the
    socket's own timeout is one. Raises OSError, UnusualError."""
    head, got = b"", 0
    while got < size_bytes:
        if time.monotonic() > until:
            return False
        try:
            data = sock.recv(min(HEAD_MAX_BYTES + size_bytes - got, PIECE_BYTES))
        except TimeoutError:
            return False
        if not data:
            raise UnusualError
        if not got:
            head += data
            data = head[_body(head, size_bytes) :]
        got += len(data)
        if got > size_bytes:
            raise UnusualError
        if data:
            write(data)
    return True


def _body(data: bytes, size_bytes: int) -> int:
    """Where the body begins, at the end of what is there if that may still be the head. Raises UnusualError."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    if end < 0:
        if len(data) >= HEAD_MAX_BYTES:
            raise UnusualError
        return len(data)
    head = data[: end + 2].lower()
    lengths = _LENGTH.findall(head)
    if not _STATUS.match(data) or _UNUSUAL.search(head) or len(lengths) != 1 or int(lengths[0]) != size_bytes:
        raise UnusualError
    return end + 4
