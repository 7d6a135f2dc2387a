"""A private archive with TLS and a login, behind a company's proxy with another one: frozen, and nothing is told."""

from __future__ import annotations

import functools
import http.server
import logging
import os
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import company_proxy
import pytest

from image_builder.errors import PipelineError
from image_builder.lock import Lock
from proxy import http as reader
from proxy.archive.freeze import freeze
from proxy.archive.sources import Source

LOGIN = "Basic " + b64encode(b"robot:secret-of-archive").decode()
PROXY_LOGIN = "Basic " + b64encode(b"me:secret-of-proxy").decode()


class Private(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers["Authorization"] == LOGIN:
            return super().do_GET()
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_private_archive_behind_a_proxy(
    archive: Any, key: Any, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    pem = company_proxy.certificate(tmp_path, "apt.corp.example")
    handler = functools.partial(Private, directory=os.fspath(archive.folder))
    origin = company_proxy.with_tls(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler), pem)
    names = {"apt.corp.example": ("127.0.0.1", origin.server_address[1])}
    source = Source("https://apt.corp.example", "stable", ("main",), ("amd64",))
    cache = tmp_path / "cache"
    with (
        company_proxy.listening(origin),
        company_proxy.listening(company_proxy.CompanyProxy(names, PROXY_LOGIN)) as proxy,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(pem.with_suffix(".crt")))
        monkeypatch.setenv("https_proxy", f"http://me:secret-of-proxy@{proxy.address}")
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(PipelineError, match="asks for a login"):
            freeze([source], keyring=key.keyring, cache=cache, now=now)
        monkeypatch.setenv("SNAPSHOT_PROXY_AUTH", "machine apt.corp.example login robot password secret-of-archive")
        pins = freeze([source], keyring=key.keyring, cache=cache, now=now)
        reader.close_idle()
    lock = Lock(created=now, archives=tuple(pins)).text()
    kept = [path.read_bytes().decode("utf-8", "replace") for path in cache.rglob("*") if path.is_file()]
    assert [text for text in (lock, caplog.text, *kept) if "secret" in text] == []
    assert proxy.asked[0] == "CONNECT apt.corp.example:443"
