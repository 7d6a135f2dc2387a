"""A name server that gives every name one address: which archive is meant, the proxy sees by Host or SNI."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from proxy.network.entering import inside
from proxy.network.rules import ANY_NAME_ADDRESS

TYPES = {1: "A", 2: "NS", 5: "CNAME", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS", 255: "ANY"}
NO_ERROR, FORMAT_ERROR = 0, 1
TTL_S = 60
KEPT = 1000  # different questions remembered; a tunnel through names asks a new one each time
MAX_CONNECTIONS = 64


class Question(NamedTuple):
    """type: "A", "TXT" or a number as text."""

    name: str
    type: str


def answer(query: bytes) -> tuple[bytes, Question | None]:
    """The answer to one DNS message, and what it asked: an address for A, nothing for every other type.

    A message that is none gets FORMERR, one too short even for that an empty answer. Source: RFC 1035, 4.1.
    """
    if len(query) < 12:
        return b"", None
    identity, flags, questions = struct.unpack(">HHH", query[:6])
    end = _end_of_name(query)
    if flags & 0x8000 or questions != 1 or end is None or len(query) < end + 4:
        return struct.pack(">HHHHHH", identity, 0x8000 | (flags & 0x0100) | FORMAT_ERROR, 0, 0, 0, 0), None
    kind, klass = struct.unpack(">HH", query[end : end + 4])
    has_address = kind == 1 and klass == 1
    # Authoritative, so that no resolver looks further; recursion as it was asked for.
    head = struct.pack(">HHHHHH", identity, 0x8480 | (flags & 0x0100) | NO_ERROR, 1, int(has_address), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, 1, 1, TTL_S, 4) + socket.inet_aton(ANY_NAME_ADDRESS)
    question = Question(_name(query, end), TYPES.get(kind, str(kind)))
    return head + query[12 : end + 4] + (record if has_address else b""), question


def _end_of_name(query: bytes) -> int | None:
    """Where the name that begins at 12 ends; None for one that is none (also a compressed one, which nobody asks)."""
    at = 12
    while at < len(query) and at <= 12 + 255:
        length = query[at]
        if length == 0:
            return at + 1
        if length > 63:
            return None
        at += 1 + length
    return None


def _name(query: bytes, end: int) -> str:
    labels, at = [], 12
    while at < end - 1:
        label = query[at + 1 : at + 1 + query[at]]
        labels.append("".join(chr(b) if 0x21 <= b <= 0x7E else f"\\{b:03d}" for b in label))
        at += 1 + query[at]
    return ".".join(labels) or "."


class Names:
    """The name server in one namespace, UDP and TCP on one port of 127.0.0.1; a thread until close()."""

    def __init__(self, namespace: Path) -> None:
        """Raises SurroundingsError."""
        self.asked: Counter[Question] = Counter()
        with inside(namespace):
            self._tcp = socket.create_server(("127.0.0.1", 0), backlog=16)
            self.port: int = self._tcp.getsockname()[1]
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", self.port))
        self._end, end = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for readable, act in ((self._udp, self._datagram), (self._tcp, self._connection), (end, None)):
            readable.setblocking(False)
            self._selector.register(readable, selectors.EVENT_READ, act)
        self._stop = end
        self._thread = threading.Thread(target=self._run, name="names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.close()
        self._thread.join()

    def __enter__(self) -> Names:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    for one in list(self._selector.get_map().values()):
                        assert isinstance(one.fileobj, socket.socket)
                        one.fileobj.close()
                    self._selector.close()
                    return
                with suppress(OSError):  # a client that has gone
                    key.data(key.fileobj)

    def _datagram(self, udp: socket.socket) -> None:
        query, client = udp.recvfrom(4096)
        if text := self._answer(query):
            udp.sendto(text, client)

    def _connection(self, tcp: socket.socket) -> None:
        connection, _ = tcp.accept()
        if len(self._selector.get_map()) > MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        received = bytearray()

        def more(readable: socket.socket) -> None:
            try:
                data = readable.recv(4096)
                received.extend(data)
                while len(received) >= 2 and len(received) >= 2 + (size := int.from_bytes(received[:2], "big")):
                    text = self._answer(bytes(received[2 : 2 + size]))
                    del received[: 2 + size]
                    readable.send(len(text).to_bytes(2, "big") + text)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._selector.unregister(readable)
                readable.close()

        self._selector.register(connection, selectors.EVENT_READ, more)

    def _answer(self, query: bytes) -> bytes:
        text, question = answer(query)
        if question is not None and (question in self.asked or len(self.asked) < KEPT):
            self.asked[question] += 1
        return text
