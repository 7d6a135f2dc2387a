"""One request, one plain answer, over a socket that is open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proxy import plain
from proxy.plain import UnusualError

BODY = bytes(range(250)) * 2
NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 08:00:00 GMT\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: 500\r\nLast-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
    b'Connection: keep-alive\r\nETag: "6920-1f4"\r\nAccept-Ranges: bytes\r\n\r\n'
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours, and the server's."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60.0)
    with ours, theirs:
        yield ours, theirs


def got(ours: socket.socket, size_bytes: int = len(BODY), within_s: float = 60.0) -> tuple[bool, bytes]:
    pieces: list[bytes] = []
    whole = plain.answer(ours, size_bytes, time.monotonic() + within_s, pieces.append)
    return whole, b"".join(pieces)


def test_the_request(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    plain.ask(ours, "/debian/pool/a_1%2b2.deb", {"Host": "deb.debian.org", "Accept-Encoding": "identity"})
    assert theirs.recv(1 << 16) == (
        b"GET /debian/pool/a_1%2b2.deb HTTP/1.1\r\nHost: deb.debian.org\r\nAccept-Encoding: identity\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "value"),
    [("/a\r\nX: y", "b"), ("/a", "b\r\nX: y"), ("/a", "b\n"), ("/ä", "b"), ("/a", "\x00"), ("/a b", "c")],
)
def test_a_request_that_would_be_another(target: str, value: str, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(UnusualError):
        plain.ask(ours, target, {"Host": value})
    ours.close()
    assert theirs.recv(1) == b""


@pytest.mark.parametrize(
    "head", [NGINX, NGINX.lower().replace(b"http/", b"HTTP/"), b"HTTP/1.1 200\r\nContent-Length:500\r\n\r\n"]
)
def test_the_file(head: bytes, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    for _ in range(2):
        theirs.sendall(head + BODY)
        assert got(ours) == (True, BODY)


@pytest.mark.parametrize("at", [1, 40, len(NGINX) - 2, len(NGINX), len(NGINX) + 7, len(NGINX) + len(BODY) - 1])
def test_in_two_pieces(at: int, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    answer = NGINX + BODY
    theirs.sendall(answer[:at])
    later = threading.Timer(0.05, theirs.sendall, [answer[at:]])
    later.start()
    assert got(ours) == (True, BODY)
    later.join()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(NGINX.replace(b"200", b"404"), id="not there"),
        pytest.param(NGINX.replace(b"200", b"206"), id="a part"),
        pytest.param(NGINX.replace(b"1.1", b"1.0"), id="another version"),
        pytest.param(NGINX.replace(b"500", b"499"), id="shorter"),
        pytest.param(NGINX + BODY + b"x", id="longer"),
        pytest.param(NGINX.replace(b"Content-Length: 500\r\n", b""), id="no length"),
        pytest.param(NGINX.replace(b"\r\n\r\n", b"\r\nContent-Length: 500\r\n\r\n"), id="two lengths"),
        pytest.param(NGINX.replace(b"500\r\n", b"500\r\nContent-Length: 7\r\n"), id="two lengths, side by side"),
        pytest.param(NGINX.replace(b"500", b"500, 500"), id="two lengths in one"),
        pytest.param(NGINX.replace(b"500", b"+500"), id="no number"),
        pytest.param(NGINX.replace(b"Server", b"Transfer-Encoding: chunked\r\nServer"), id="chunked"),
        pytest.param(NGINX.replace(b"Server", b"content-encoding: gzip\r\nServer"), id="compressed"),
        pytest.param(NGINX.replace(b"keep-alive", b"close"), id="the last answer"),
        pytest.param(NGINX.replace(b"keep-alive", b"keep-alive, upgrade"), id="another protocol"),
        pytest.param(NGINX.replace(b"nginx/1.22.1\r\n", b"nginx\r\n /1.22.1\r\n"), id="folded"),
        pytest.param(NGINX.replace(b"\r\n", b"\n") + BODY, id="no line ends"),
        pytest.param(NGINX[:40], id="half a head"),
        pytest.param(NGINX.replace(b"nginx", b"n" * plain.HEAD_MAX_BYTES), id="a head without end"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_not_plain(answer: bytes, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(UnusualError):
        got(ours)


def test_what_came_before_the_end_is_kept(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(NGINX + BODY[:300])
    theirs.close()
    pieces: list[bytes] = []
    with pytest.raises(UnusualError):
        plain.answer(ours, len(BODY), time.monotonic() + 60, pieces.append)
    assert b"".join(pieces) == BODY[:300]


def test_silence_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.settimeout(0.05)
    theirs.sendall(NGINX + BODY[:300])
    assert got(ours) == (False, BODY[:300])


def test_nor_is_a_trickle(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(NGINX + BODY[:300])
    assert got(ours, within_s=-1.0) == (False, b"")
