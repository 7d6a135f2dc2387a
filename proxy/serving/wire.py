"""HTTP/1.1 heads as bytes: a reader that takes only what cannot be misunderstood, a writer, and Range."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType

HEAD_MAX_BYTES = 16 << 10
_TARGET = re.compile(rb"(?:(?P<scheme>https?)://(?P<authority>[^/?#\s@]+))?(?P<path>/[!-~]*)", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[ -~\t\x80-\xff]*")
_AUTHORITY = re.compile(r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
# Their bytes would have to be taken from the connection before the next request can be read.
_BODY_HEADERS = ("content-length", "transfer-encoding", "expect", "upgrade")


class MalformedError(Exception):
    """Not a request this reader is sure about; the message says why."""


@dataclass(frozen=True)
class Request:
    """A head. path: as asked, with its query. headers: names in lower case, each at most once."""

    method: str
    scheme: str
    host: str  # lower case, without a port; an IPv6 address in brackets
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    absolute: bool = False  # asked as one asks a proxy

    @property
    def url(self) -> str:
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{self.host}{'' if self.port == usual else f':{self.port}'}{self.path}"


def head_end(data: bytes | bytearray) -> int:
    """Where the first head in data ends, -1 while it is not whole. Raises MalformedError for one too long."""
    end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES)
    if end < 0 and len(data) >= HEAD_MAX_BYTES:
        raise MalformedError(f"a head of more than {HEAD_MAX_BYTES} bytes")
    return end if end < 0 else end + 4


def parse(head: bytes) -> Request:
    """The head of a request without a body. Raises MalformedError for anything that two readers could read in two ways.

    That is: another version than 1.1, folded or repeated headers, a body, a Host that is missing or contradicts.
    >>> parse(b"GET http://deb.debian.org/debian/ HTTP/1.1\\r\\nHost: deb.debian.org\\r\\n\\r\\n").url
    'http://deb.debian.org/debian/'
    """
    first, _, rest = head[:-4].partition(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or not words[0].isalpha():
        raise MalformedError("no HTTP/1.1 request line")
    match = _TARGET.fullmatch(words[1])
    if match is None:
        raise MalformedError("the address is neither a path nor http://")
    headers = _headers(rest)
    if "host" not in headers:
        raise MalformedError("no Host header")
    scheme = (match["scheme"] or b"http").decode().lower()
    host, port = authority(headers["host"], scheme)
    if match["authority"] and authority(match["authority"].decode("ascii", "replace"), scheme) != (host, port):
        raise MalformedError("the Host header contradicts the address")
    absolute = match["authority"] is not None
    return Request(words[0].decode(), scheme, host, port, match["path"].decode(), headers, absolute)


@lru_cache(maxsize=64)  # a client sends the same ones with every request
def _headers(block: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n") if block else ():
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise MalformedError("a header that is none")
        key = name.decode().lower()
        if key in headers:
            raise MalformedError(f"the header {key} twice")
        if key in _BODY_HEADERS and (key != "content-length" or value.strip() != b"0"):
            raise MalformedError(f"the header {key}: a request with a body")
        headers[key] = value.strip().decode("latin-1")
    return MappingProxyType(headers)


@lru_cache(maxsize=64)
def authority(text: str, scheme: str) -> tuple[str, int]:
    """(host in lower case, port) of "host" or "host:port". Raises MalformedError."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise MalformedError(f"{text!r} names no host")
    port = int(match["port"]) if match["port"] else {"http": 80, "https": 443}[scheme]
    if not 0 < port < 65536:
        raise MalformedError(f"port {port}")
    return match["host"].lower().rstrip("."), port


def part_asked(headers: Mapping[str, str], size_bytes: int, modified: str) -> tuple[int, int] | None:
    """The part (first byte, byte after the last) a request asks for; None: the whole. (size, size): none there is.

    A request for several parts, for the last bytes, or for a part of another state of the file gets the whole.
    """
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or headers.get("if-range", modified) != modified:
        return None
    start = int(match[1])
    end = int(match[2]) + 1 if match[2] else size_bytes
    if start >= size_bytes:
        return size_bytes, size_bytes
    return (start, min(end, size_bytes)) if start < end else None


@lru_cache(maxsize=256)
def http_date(seconds: int) -> str:
    """As headers have it; seconds: POSIX."""
    return formatdate(seconds, usegmt=True)


def response_head(status: int, reason: str, headers: Mapping[str, str | int]) -> bytes:
    """reason: shown by apt behind the status; what is no printable ASCII in it becomes "?"."""
    phrase = "".join(c if " " <= c <= "~" else "?" for c in reason)[:200]
    lines = [f"HTTP/1.1 {status} {phrase}", f"Date: {http_date(int(time.time()))}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode("latin-1")
