"""The server on a real socket: what it answers, and to whom it does not."""

from __future__ import annotations

import http.client
import lzma
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from company_proxy import listening
from seen_rebuild import LOG, SOURCES, Seen
from web_pages import crawl, parse, words

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.pages import addresses
from image_builder.archive.pages.answers import Folder, Live, Site
from image_builder.archive.pages.server import Server
from image_builder.archive.pages.writing import write_pages
from image_builder.errors import SurroundingsError

TOP = Path(__file__).parents[3]


@contextmanager
def serving(site: Site) -> Iterator[Server]:
    with listening(Server(site, "127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def live(seen: Seen, view: Database) -> Iterator[Server]:
    with serving(Live(view, seen.results, lambda: seen.now + 100)) as server:
        yield server


@pytest.fixture
def folder(seen: Seen, view: Database, tmp_path: Path) -> Iterator[Server]:
    write_pages(view, seen.results, tmp_path / "site", seen.now)
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "site/out.html").symlink_to(tmp_path / "secret.html")
    (tmp_path / "site/secret.db").write_text("secret")
    with serving(Folder(tmp_path / "site")) as server:
        yield server


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as wire:
        wire.sendall(request)
        wire.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: wire.recv(65536), b""))


@pytest.mark.parametrize("which", ["live", "folder"])
def test_every_link_leads_somewhere(request: pytest.FixtureRequest, which: str) -> None:
    server: Server = request.getfixturevalue(which)

    def fetch(path: str) -> bytes | None:
        status, _, body = ask(server, "/" + path)
        return body if status == 200 else None

    found = crawl(fetch)
    assert {addresses.package(name) for name in SOURCES} < set(found)


def test_live_pages_are_those_that_are_written(live: Server, folder: Server) -> None:
    """But for links to logs, which it gives as text."""
    for path in (addresses.package("hello"), addresses.listing(2, "trixie", "amd64", "Failed"), "names/b.html"):
        assert ask(live, f"/{path}")[2] == ask(folder, f"/{path}")[2]


@pytest.mark.parametrize("which", ["live", "folder"])
@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/..%2fsecret.html",
        "/package/../../secret.html",
        "/out.html",
        "/secret.db",
        "/.pages",
        "//secret.html",
        "/package",
        "/package/",
        "/package/h",
        "/names/",
        "/log/999999.html",
        "/log/3/../3.html",
        "/log/99999999999999999999999.txt",
        "/run/7/index.html",
        "/run/2/trixie/amd64/Nonsense.html",
        "/package/h/%00.html",
        "/package/h/" + "x" * 5000 + ".html",
        "/%ff.html",
        "/style.css/",
        "/\\..\\secret.html",
    ],
)
def test_what_is_not_a_page(request: pytest.FixtureRequest, which: str, path: str) -> None:
    status, _, body = ask(request.getfixturevalue(which), path)
    assert status in (400, 404)
    assert b"secret" not in body.replace(b"secret.html", b"")
    parse(body.decode())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_it_is_read_only(live: Server, method: str) -> None:
    status, headers, _ = ask(live, "/index.html", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_what_is_sent_along_is_not_taken_for_a_request(live: Server) -> None:
    for head in (b"POST / HTTP/1.1", b"GET / HTTP/1.1"):
        inner = b"GET /names/b.html HTTP/1.1\r\nHost: localhost\r\n\r\n"
        said = raw(live, head + b"\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1].evil", "192.0.2.1"]
)
def test_names_elsewhere_that_lead_here_are_refused(live: Server, host: str) -> None:
    assert ask(live, "/", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8790", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8790"])
def test_this_machine_is_not(live: Server, host: str) -> None:
    assert ask(live, "/", Host=host)[0] == 200


def test_no_host_or_two_are_refused(live: Server) -> None:
    assert b" 421 " in raw(live, b"GET / HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
    said = raw(live, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert b" 421 " in said.split(b"\r\n")[0]


def test_an_address_that_is_no_path_is_refused(live: Server) -> None:
    said = raw(live, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 400 " in said.split(b"\r\n")[0]
    assert raw(live, b"\x16\x03\x01nonsense\r\n\r\n").count(b"HTTP/1.1 200") == 0


@pytest.mark.parametrize("path", ["/", "/style.css", "/nothing.html", "/search-index.js"])
def test_every_answer_keeps_browsers_from_doing_more(live: Server, path: str) -> None:
    _, headers, _ = ask(live, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


def test_head_says_the_same_without_the_page(live: Server) -> None:
    _, headers, body = ask(live, "/names/b.html")
    status, same, nothing = ask(live, "/names/b.html", "HEAD")
    assert (status, same["Content-Length"], same["ETag"], nothing) == (200, str(len(body)), headers["ETag"], b"")


def test_what_has_not_changed_is_not_sent_again(live: Server) -> None:
    _, headers, _ = ask(live, "/names/b.html")
    status, _, body = ask(live, "/names/b.html", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")


def test_the_server_searches_where_the_browser_does_not(live: Server) -> None:
    _, _, body = ask(live, "/search.html?q=libbar-dev+needs-build")
    assert "1 found bar trixie amd64: Needs-Build" in words(parse(body.decode()))
    _, _, body = ask(live, "/search.html?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%ff" + "x" * 4000)
    assert "0 found" in words(parse(body.decode()))
    assert b"<script>alert" not in body


def test_a_whole_log_is_text(live: Server, folder: Server, seen: Seen) -> None:
    status, headers, body = ask(live, f"/log/{seen.logs['acl']}.txt")
    assert (status, headers["Content-Type"], body.decode()) == (200, "text/plain; charset=utf-8", LOG)
    status, headers, body = ask(folder, f"/log/{seen.logs['acl']}.log.xz")
    assert (status, headers["Content-Type"], lzma.decompress(body).decode()) == (200, "application/x-xz", LOG)


def test_a_database_that_does_not_answer_is_said_to_be(seen: Seen, tmp_path: Path) -> None:
    with open_database(tmp_path / "x.sqlite") as database:
        database.engine.dispose()
        (tmp_path / "x.sqlite").write_text("no database any more")
        with serving(Live(database, seen.results)) as server:
            status, _, body = ask(server, "/")
    assert status == 503
    assert "does not answer" in words(parse(body.decode()))


def test_a_port_that_is_taken_is_said_to_be(live: Server, seen: Seen, view: Database) -> None:
    with pytest.raises(SurroundingsError, match="cannot listen"):
        Server(Live(view, seen.results), "127.0.0.1", live.server_address[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_when_told_to(seen: Seen, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from image_builder.cli import main; main()", "archive", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
    program = subprocess.Popen(command, cwd=seen.folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        said = program.stdout.readline()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", said)
        assert match is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=10)
        connection.request("GET", "/")
        assert b"gcc-15 stage 1" in connection.getresponse().read()
        connection.close()
        program.send_signal(number)
        assert program.wait(10) == 0
    finally:
        program.kill()
        program.wait()
