"""A company's proxy on the loopback interface: HTTP by absolute address, HTTPS by CONNECT; and TLS for servers."""

from __future__ import annotations

import http.client
import http.server
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class CompanyProxy(http.server.ThreadingHTTPServer):
    """names: host -> (address, port), all that can be reached through it. login: asked for if not empty."""

    daemon_threads = True

    def __init__(self, names: Mapping[str, tuple[str, int]], login: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.names, self.login = names, login
        self.asked: list[str] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CompanyProxy

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        there = self._there(urlsplit(self.path).hostname or "")
        if there is None:
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "proxy-authorization"}
        connection = http.client.HTTPConnection(*there, timeout=60)
        connection.request("GET", urlsplit(self.path).path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name in ("Location", "Retry-After"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path}")
        there = self._there(self.path.rpartition(":")[0])
        if there is None:
            return
        with socket.create_connection(there, timeout=60) as other:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            ways = {self.connection: other, other: self.connection}
            while ready := select.select(list(ways), [], [], 10)[0]:
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ways[one].sendall(data)

    def _there(self, host: str) -> tuple[str, int] | None:
        status = 0
        if self.server.login and self.headers["Proxy-Authorization"] != self.server.login:
            status = 407
        elif host not in self.server.names:
            status = 403
        if status:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self.server.names[host]

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening(server: http.server.HTTPServer) -> Iterator[Any]:
    """Serve for the length of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path, *names: str) -> Path:
    """A file with a key and its own certificate, for these host names."""
    path = folder / "server.pem"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
               "-keyout", path, "-out", path.with_suffix(".crt"), "-subj", "/CN=test",
               "-addext", f"subjectAltName={alternatives}"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def with_tls(server: http.server.HTTPServer, pem: Path) -> http.server.HTTPServer:
    """The same server speaking TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server
