"""The web view on a port of this machine: read-only, for those on it, whatever a page elsewhere has them ask."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Collection, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from image_builder.archive.pages import addresses
from image_builder.archive.pages.answers import KINDS, Answer, Site
from image_builder.archive.pages.render import POLICY, environment
from image_builder.archive.pages.search import LONGEST
from image_builder.errors import PipelineError, SurroundingsError

log = logging.getLogger(__name__)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # ask again whether it has changed
}
PATIENCE_S = 30.0  # with somebody who does not go on


class Server(ThreadingHTTPServer):
    """Answers from a site until it is closed. Raises SurroundingsError where it cannot listen."""

    daemon_threads = True  # whoever still reads does not keep the program

    def __init__(self, site: Site, address: str, port: int, hosts: Collection[str] = ()) -> None:
        """address: to listen on; port 0: any that is free. hosts: names it is asked by besides loopback's and its
        address: others are refused, since a name somewhere else may be made to lead here."""
        self.site = site
        self.hosts = LOOPBACK | {name.lower() for name in hosts} | {_literal(address)}
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), _Handler)
        except (OSError, OverflowError) as e:
            said = getattr(e, "strerror", None) or str(e)
            raise SurroundingsError(
                f"cannot listen: {said}", where=f"{_literal(address)}:{port}", hint="another --port? 0 takes a free one"
            ) from e

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{_literal(str(self.server_address[0]))}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """Without the look for this machine's name that the library makes: it may take long, and nobody needs it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Those who go away in the middle are nobody's concern; anything else is a mistake of ours."""
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        log.log(level, "for %s", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S
    server: Server
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = KINDS[".txt"]

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_GET

    def _refuse(self) -> None:
        self.close_connection = True  # what it sends along is not read
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, _said("This view is read-only."), {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _answer(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the same
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or _host(hosts[0]) not in self.server.hosts:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, _said("There is no view of that name here."))
            return
        try:
            parts = urlsplit(self.path)
            path = unquote(parts.path, errors="strict") if self.path.startswith("/") else ""
            question = parse_qs(parts.query).get("q", [""])[0][:LONGEST]
        except ValueError:
            path = question = ""
        if not path.startswith("/"):
            self._send(HTTPStatus.BAD_REQUEST, _said("That is no address of a page."))
            return
        wanted = path[1:] + addresses.INDEX if path.endswith("/") else path[1:]
        try:
            found = self.server.site.answer(wanted, question)
            blocks = () if found is None or isinstance(found.body, bytes) else found.body
            first = next(iter(blocks), b"")
        except PipelineError as e:
            log.warning("%s", e)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, _said(e.what, "The database does not answer"))
            return
        except Exception:  # whoever asks is told that it is no fault of his
            log.exception("for %s", self.path)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, _said("That was a mistake of ours.", "Something failed"))
            return
        if found is None:
            self._send(HTTPStatus.NOT_FOUND, _said("There is no such page. What it was about may be gone."))
        elif isinstance(found.body, bytes):
            etag = f'"{hashlib.sha256(found.body).hexdigest()[:32]}"'
            if etag in [one.strip() for one in self.headers.get("If-None-Match", "").split(",")]:
                self._send(HTTPStatus.NOT_MODIFIED, Answer(found.kind, b""), {"ETag": etag})
            else:
                self._send(HTTPStatus.OK, found, {"ETag": etag})
        else:
            self._stream(found.kind, chain([first], blocks))

    def _send(self, status: HTTPStatus, answer: Answer, headers: dict[str, str] | None = None) -> None:
        assert isinstance(answer.body, bytes)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _stream(self, kind: str, blocks: Iterable[bytes]) -> None:
        """An answer whose length nobody knows: the connection's end is its end."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            try:
                for block in blocks:
                    self.wfile.write(block)
            except PipelineError as e:
                log.warning("%s", e)
                self.wfile.write(f"\n[{e.what}]\n".encode("utf-8", "replace"))

    def end_headers(self) -> None:
        """With every answer, also those the library gives by itself."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "image-builder"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s " + format, self.address_string(), *args)


def _said(words: str, title: str = "") -> Answer:
    page = environment().get_template("error.html.j2").render(title=title or "Not here", said=words, top="/")
    return Answer(KINDS[".html"], page.encode("utf-8", "replace"))


def _host(header: str) -> str:
    """The name in it, without the port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return name if colon and (port.isdigit() or not port) and (":" not in name or name[0] == "[") else header.lower()


def _literal(address: str) -> str:
    """An address as it stands in a URL."""
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        return address.lower()
