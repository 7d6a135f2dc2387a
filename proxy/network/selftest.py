"""Proves from within that a namespace leads to the proxy and nowhere else, before anything else is let in."""

from __future__ import annotations

import hashlib
import http.client
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from image_builder.errors import SurroundingsError
from proxy.network.entering import inside
from proxy.network.rules import ANY_NAME_ADDRESS, NAMES_ADDRESS

PROXY_URL = "http://snapshot-proxy.invalid/"  # answered by the proxy itself
HEADER = "X-Snapshot"
TIMEOUT_S = 20.0
# TEST-NET-2 and the documentation's IPv6 addresses: nobody is there, but without rules there would be a way.
ELSEWHERE = ((socket.AF_INET, "198.51.100.7", 81), (socket.AF_INET6, "2001:db8::7", 80))


class Known(NamedTuple):
    """A file the proxy has to give with just these bytes: an InRelease of the lock."""

    url: str
    sha256: str


def check_namespace(namespace: Path, known: Known | None) -> None:
    """Raise SurroundingsError, in words, unless names, HTTP and refusals are as they must be."""
    with inside(namespace):
        _name()
        _answers(PROXY_URL)
        if known is not None:
            check_known(known)
        for family, address, port in ELSEWHERE:
            _refused(family, address, port)


def check_known(known: Known) -> None:
    """Ask for a known file on the way everybody here goes, and compare its bytes."""
    found = hashlib.sha256(_answers(known.url)).hexdigest()
    if found != known.sha256:
        raise _wrong(f"the proxy gave another file ({found[:16]}…) than the lock names", known.url)


def _name() -> None:
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x08snapshot\x04test\0" + struct.pack(">HH", 1, 1)
    try:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp:
            udp.settimeout(TIMEOUT_S)
            udp.sendto(query, (NAMES_ADDRESS, 53))
            said = udp.recv(512)
    except OSError as e:
        raise _wrong(f"no answer from the name server: {e}", NAMES_ADDRESS) from e
    if said[-4:] != socket.inet_aton(ANY_NAME_ADDRESS):
        raise _wrong("another name server answered", NAMES_ADDRESS)


def _answers(url: str) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Names are not looked up: the C library would read the host's resolv.conf.
    address = "127.0.0.1" if host == "localhost" else host if host.startswith("127.") else ANY_NAME_ADDRESS
    connection = http.client.HTTPConnection(address, parts.port or 80, timeout=TIMEOUT_S)
    with closing(connection):
        try:
            connection.request("GET", parts.path or "/", headers={"Host": parts.netloc.rpartition("@")[2]})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise _wrong(f"the proxy does not answer: {e!r}", url) from e
    if answer.headers.get(HEADER) is None:
        raise _wrong("somebody else than the proxy answered: redirecting does not work here", url)
    if answer.status != 200:
        raise _wrong(f"the proxy answered {answer.status}: {body[:200].decode(errors='replace').strip()}", url)
    return body


def _refused(family: int, address: str, port: int) -> None:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:  # a kernel without IPv6
        return
    with closing(sock):
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect((address, port))
        except TimeoutError as e:
            raise _wrong("is not refused but silent: apt would wait", f"{address} port {port}") from e
        except OSError:
            return
    raise _wrong("can be reached past the proxy", f"{address} port {port}")


def _wrong(what: str, where: str) -> SurroundingsError:
    return SurroundingsError(
        f"self-test of the build's network: {what}", where=where, hint="nothing was built; see proxy.log beside it"
    )
