"""A web server of an archive that goes wrong in chosen ways, on a real socket."""

from __future__ import annotations

import gzip
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote


class Origin:
    """faults: a part of a path -> name of the fault, which lasts; first: faults of the first request only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, ""
        self.faults: dict[str, str] = {}
        self.first: dict[str, str] = {}
        self.counts: Counter[str] = Counter()  # requests by path
        self.starts: list[tuple[str, int]] = []  # path and first byte asked for, of each request
        self.end = threading.Event()
        self.lock = threading.Lock()

    def fault(self, path: str) -> str:
        with self.lock:
            self.counts[path] += 1
            for part in list(self.first):
                if part in path:
                    return self.first.pop(part)
            there = not path.startswith("/elsewhere")
            return next((name for part, name in self.faults.items() if part in path and there), "")


class Answer:
    """One answer to be made: the file, and the connection to ruin it in."""

    def __init__(self, origin: Origin, connection: socket.socket, path: str, data: bytes, start: int) -> None:
        self.origin, self.connection, self.path, self.data, self.start = origin, connection, path, data, start

    def send(self, body: bytes, status: str = "200 OK", length: int | None = -1, **more: str) -> None:
        """length: what Content-Length says; None: no such header. more: headers, "_" for "-"."""
        lines = [f"HTTP/1.1 {status}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"Content-Length: {len(body) if length == -1 else length}"] if length is not None else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def chunked(self, body: bytes, *, whole: bool = True) -> None:
        self.send(b"", length=None, Transfer_Encoding="chunked")
        for at in range(0, len(body), 50_000):
            piece = body[at : at + 50_000]
            self.connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if whole:
            self.connection.sendall(b"0\r\n\r\n")

    @property
    def flipped(self) -> bytes:
        at = len(self.data) * 9 // 10
        return self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1 :]

    @property
    def half(self) -> bytes:
        return self.data[: len(self.data) // 2]

    def wait(self) -> None:
        self.origin.end.wait(60)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _trickle(a: Answer) -> None:
    a.send(b"", length=len(a.data))
    for at in range(len(a.data)):
        if a.origin.end.wait(1):
            return
        a.connection.sendall(a.data[at : at + 1])


def _stall(a: Answer) -> None:
    a.send(a.half, length=len(a.data))
    a.wait()


def _reset(a: Answer) -> None:
    a.send(a.half, length=len(a.data))
    time.sleep(0.05)
    a.reset()


# True: the connection can go on.
FAULTS: dict[str, Callable[[Answer], object]] = {
    "truncated": lambda a: a.send(a.half, length=len(a.data)),
    "stall": _stall,
    "silent": lambda a: a.wait(),
    "trickle": _trickle,
    "flipped": lambda a: a.send(a.flipped),
    "longer": lambda a: a.send(a.data + b"more"),
    "shorter": lambda a: a.send(a.data[:-4]),
    "empty": lambda a: a.send(b""),
    "length too small": lambda a: a.send(a.data, length=len(a.data) - 4),
    "chunked": lambda a: a.chunked(a.data),
    "chunked, flipped": lambda a: a.chunked(a.flipped),
    "chunked, cut": lambda a: a.chunked(a.half, whole=False),
    "chunked, short": lambda a: a.chunked(a.half),
    "no length": lambda a: a.send(a.data, length=None, Connection="close"),
    "no length, flipped": lambda a: a.send(a.flipped, length=None, Connection="close"),
    "no length, cut": lambda a: a.send(a.half, length=None, Connection="close"),
    "304": lambda a: a.send(b"", "304 Not Modified"),
    "401": lambda a: a.send(b"who?", "401 Unauthorized", WWW_Authenticate='Basic realm="x"'),
    "403": lambda a: a.send(b"no", "403 Forbidden"),
    "404": lambda a: a.send(b"no", "404 Not Found"),
    "410": lambda a: a.send(b"no", "410 Gone"),
    "429": lambda a: a.send(b"no", "429 Too Many Requests", Retry_After="0"),
    "500": lambda a: a.send(b"no", "500 Internal Server Error"),
    "501": lambda a: a.send(b"no", "501 Not Implemented"),
    "503": lambda a: a.send(b"no", "503 Service Unavailable", Retry_After="0"),
    "206 to a plain GET": lambda a: a.send(
        a.data[10:], "206 Partial Content", Content_Range=f"bytes 10-{len(a.data) - 1}/{len(a.data)}"
    ),
    "wrong Content-Range": lambda a: a.send(
        a.data[max(0, a.start - 5) :], "206 Partial Content" if a.start else "200 OK",
        **({"Content_Range": f"bytes {a.start - 5}-{len(a.data) - 1}/{len(a.data)}"} if a.start else {}),
    ),
    "redirect to another file": lambda a: a.send(b"", "302 Found", Location="/live/other.deb"),
    "redirect to the same elsewhere": lambda a: a.send(b"", "302 Found", Location=f"/elsewhere{a.path}"),
    "redirect loop": lambda a: a.send(b"", "302 Found", Location=a.path),
    "redirect to a file": lambda a: a.send(b"", "302 Found", Location="file:///etc/passwd"),
    "redirect to nowhere": lambda a: a.send(b"", "302 Found", Location="http://nowhere.invalid/x"),
    "gzip": lambda a: a.send(gzip.compress(a.data), Content_Encoding="gzip"),
    "reset": _reset,
    "refused": lambda a: a.reset(),
    "closed": lambda a: a.connection.shutdown(socket.SHUT_RDWR),
    "not HTTP": lambda a: a.connection.sendall(b"\x00\x01\x02 what?\r\n\r\n"),
    "endless head": lambda a: a.connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000),
    "two lengths": lambda a: a.connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: %d\r\n\r\n" % len(a.data) + a.data
    ),
}  # fmt: skip


@contextmanager
def fault_origin(folder: Path) -> Iterator[Origin]:
    """A folder on a loopback socket for the length of the block. /elsewhere/… shows the same, /live/… other files."""
    origin = Origin(folder)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection: socket.socket = self.request
            connection.settimeout(60)
            data = b""
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        more = connection.recv(1 << 16)
                        if not more:
                            return
                        data += more
                    head, data = data.split(b"\r\n\r\n", 1)
                    if not _answer(origin, connection, head.decode("latin-1")):
                        return
            except OSError:  # the client has gone
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    with Server(("127.0.0.1", 0), Handler) as server:
        origin.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield origin
        finally:
            origin.end.set()
            server.shutdown()
            thread.join()


def _answer(origin: Origin, connection: socket.socket, head: str) -> bool:
    first, *lines = head.split("\r\n")
    path = first.split(" ")[1]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    fault = origin.fault(path)
    file = origin.folder / unquote(path.removeprefix("/elsewhere")).lstrip("/")
    data = b"live bytes nobody has signed" if path.startswith("/live/") else b""
    if not data:
        if not file.is_file():
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        data = file.read_bytes()
    start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
    origin.starts.append((path, start))
    answer = Answer(origin, connection, path, data, start)
    if fault:
        FAULTS[fault](answer)
        return False
    if start:
        answer.send(data[start:], "206 Partial Content", Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
    else:
        answer.send(data)
    return True
