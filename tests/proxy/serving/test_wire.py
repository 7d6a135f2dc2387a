"""Heads of requests: what is taken, what is refused, and which part of a file is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.serving.wire import HEAD_MAX_BYTES, MalformedError, head_end, parse, part_asked, response_head

HOST = b"Host: deb.debian.org\r\n"


def head(line: bytes, headers: bytes = HOST) -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


@pytest.mark.parametrize(
    ("data", "url", "absolute"),
    [
        (
            head(b"GET /debian/dists/trixie/InRelease HTTP/1.1"),
            "http://deb.debian.org/debian/dists/trixie/InRelease",
            False,
        ),
        (head(b"GET http://deb.debian.org/a?b=c HTTP/1.1"), "http://deb.debian.org/a?b=c", True),
        (head(b"HEAD http://DEB.debian.org:80/a HTTP/1.1"), "http://deb.debian.org/a", True),
        (head(b"GET /a HTTP/1.1", b"host:  127.0.0.1:8081 \r\n"), "http://127.0.0.1:8081/a", False),
        (head(b"GET /a HTTP/1.1", b"Host: [::1]:80\r\nContent-Length: 0\r\n"), "http://[::1]/a", False),
        (head(b"GET /a HTTP/1.1", b"Host: deb.debian.org.\r\n"), "http://deb.debian.org/a", False),
    ],
)
def test_what_is_understood(data: bytes, url: str, absolute: bool) -> None:
    assert head_end(data) == len(data)
    request = parse(data)
    assert (request.url, request.absolute) == (url, absolute)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head(b"GET /a HTTP/1.0"), id="1.0"),
        pytest.param(head(b"GET  /a HTTP/1.1"), id="two blanks"),
        pytest.param(head(b"GET a HTTP/1.1"), id="no path"),
        pytest.param(head(b"GET * HTTP/1.1"), id="asterisk"),
        pytest.param(head(b"CONNECT deb.debian.org:443 HTTP/1.1"), id="CONNECT"),
        pytest.param(head(b"GET /a HTTP/1.1", b""), id="no Host"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + HOST), id="two Hosts"),
        pytest.param(head(b"GET http://other.org/a HTTP/1.1"), id="Host contradicts"),
        pytest.param(head(b"GET http://me:word@deb.debian.org/a HTTP/1.1"), id="login"),
        pytest.param(head(b"GET /a HTTP/1.1", b"Host: a b\r\n"), id="blank in Host"),
        pytest.param(head(b"GET /a HTTP/1.1", b"Host: a/b\r\n"), id="path in Host"),
        pytest.param(head(b"GET /a HTTP/1.1", b"Host: a:99999\r\n"), id="port"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + b" folded\r\n"), id="folded"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + b"X: a\nGET /b HTTP/1.1\r\n"), id="bare line feed"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + b"Content-Length: 5\r\n"), id="body"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + b"Transfer-Encoding: chunked\r\n"), id="chunked body"),
        pytest.param(head(b"GET /a HTTP/1.1", HOST + b"Range : bytes=0-\r\n"), id="blank before the colon"),
        pytest.param(head(b"GET /\xc3\xa4 HTTP/1.1"), id="not ASCII"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(data)


def test_a_head_has_a_largest_size() -> None:
    assert head_end(b"GET / HTTP/1.1\r\n") == -1
    with pytest.raises(MalformedError, match="16384"):
        head_end(b"GET / HTTP/1.1\r\n" + b"x" * HEAD_MAX_BYTES)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        request = parse(data + b"\r\n\r\n")
    except MalformedError:
        return
    assert request.url.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({}, None),
        ({"range": "bytes=0-"}, (0, 100)),
        ({"range": "bytes=40-"}, (40, 100)),
        ({"range": "bytes=40-49"}, (40, 50)),
        ({"range": "bytes=40-400"}, (40, 100)),
        ({"range": "bytes=100-"}, (100, 100)),
        ({"range": "bytes=-10"}, None),
        ({"range": "bytes=9-3"}, None),
        ({"range": "bytes=0-1,5-6"}, None),
        ({"range": "lines=0-1"}, None),
        ({"range": "bytes=40-", "if-range": "then"}, (40, 100)),
        ({"range": "bytes=40-", "if-range": "another day"}, None),
    ],
)
def test_the_part_that_is_asked_for(headers: dict[str, str], part: tuple[int, int] | None) -> None:
    assert part_asked(headers, 100, "then") == part


def test_a_reason_cannot_become_a_header() -> None:
    text = response_head(404, "no\r\nSet-Cookie: a\x00ä", {"Content-Length": 0})
    assert text.startswith(b"HTTP/1.1 404 no??Set-Cookie: a??\r\nDate: ")
    assert text.count(b"\r\n") == 4
