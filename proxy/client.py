"""http.client's connections with a quicker reader of headers.

Its own one, by email.parser, knows of MIME: with it, a small file from a near mirror waits longest for that.
"""

from __future__ import annotations

import http.client
from types import FunctionType
from typing import BinaryIO

LINE_BYTES, HEADERS = 1 << 16, 100  # of a head, as http.client has it


def headers(file: BinaryIO) -> http.client.HTTPMessage:
    """The lines up to the empty one. Raises http.client.HTTPException for a head that is too long or is none."""
    found = http.client.HTTPMessage()
    name = ""
    for _ in range(HEADERS):
        line = file.readline(LINE_BYTES + 1)
        if len(line) > LINE_BYTES:
            raise http.client.LineTooLong("header line")
        if line in (b"\r\n", b"\n", b""):
            return found
        text = line.decode("latin-1").rstrip("\r\n")
        if text.startswith((" ", "\t")) and name:  # goes on with the line before
            found.replace_header(name, f"{found[name]} {text.strip()}")
            continue
        name, colon, value = text.partition(":")
        if not colon or not name or name != name.strip():
            raise http.client.HTTPException("a header that is none")
        found[name] = value.strip()
    raise http.client.HTTPException(f"more than {HEADERS} headers")


class _Answer(http.client.HTTPResponse):
    """As http.client reads it, but for the headers."""

    begin = FunctionType(http.client.HTTPResponse.begin.__code__, {**vars(http.client), "parse_headers": headers})


class Connection(http.client.HTTPConnection):
    """http."""

    response_class = _Answer


class SecureConnection(http.client.HTTPSConnection):
    """https."""

    response_class = _Answer
