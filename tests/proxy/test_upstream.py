"""Ways out: through a company's proxy, with TLS or without, with logins that are seen nowhere else."""

from __future__ import annotations

import http.server
import logging
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import company_proxy
import pytest

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from proxy import http as reader
from proxy.http import NotThereError, stream
from proxy.upstream import Settings, bypassed, configure, route, shown


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


class Origin(http.server.ThreadingHTTPServer):
    """Says what it was asked, and by whom. login: asked for if not empty. redirects: path -> address."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, login: str = "", **redirects: str) -> None:
        super().__init__(("127.0.0.1", 0), OriginHandler)
        self.login, self.redirects = login, {f"/{name}": there for name, there in redirects.items()}
        self.seen: list[tuple[str, str | None]] = []
        self.port = self.server_address[1]


class OriginHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))
        assert self.headers["Proxy-Authorization"] is None
        status = 200
        if self.path in self.server.redirects:
            status = 302
        elif self.server.login and self.headers["Authorization"] != self.server.login:
            status = 401
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.redirects[self.path])
        body = f"{self.headers['Host']}{self.path}".encode() if status == 200 else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(reader, "PAUSE_S", 0.0)
    caplog.set_level(logging.DEBUG)
    configure(Settings(auth_files=()))
    yield
    configure(Settings())
    reader.close_idle()
    assert "secret" not in caplog.text


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return company_proxy.certificate(tmp_path_factory.mktemp("tls"), "archive.example", "localhost")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with company_proxy.listening(Origin()) as made:
        yield made


@pytest.fixture
def secure(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(pem.with_suffix(".crt")))
    with company_proxy.listening(company_proxy.with_tls(Origin(), pem)) as made:
        yield made


def read(url: str) -> bytes:
    chunks: list[bytes] = []
    stream(url, chunks.append, chunks.clear, max_bytes=1 << 20)
    return b"".join(chunks)


def proxy_before(origin: Origin, login: str = "", name: str = "archive.example") -> Any:
    return company_proxy.listening(company_proxy.CompanyProxy({name: ("127.0.0.1", origin.port)}, login))


def test_http_through_a_proxy(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_before(origin) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert read("http://archive.example/a b~1%2b.deb") == b"archive.example/a%20b~1%2b.deb"
        assert proxy.asked == ["GET http://archive.example/a%20b~1%2b.deb"]


def test_https_through_a_proxy(secure: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_before(secure) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        assert read("https://archive.example/a") + read("https://archive.example/b") == (
            b"archive.example/aarchive.example/b"
        )
        assert proxy.asked == ["CONNECT archive.example:443"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("how", ["environment", "configuration", "auth.conf"])
def test_a_proxys_login(how: str, scheme: str, pem: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(pem.with_suffix(".crt")))
    origin = Origin()
    served = company_proxy.with_tls(origin, pem) if scheme == "https" else origin
    with company_proxy.listening(served), proxy_before(origin, basic("me:p@ss secret")) as proxy:
        address = f"http://me:p%40ss%20secret@{proxy.address}"
        if how == "environment":
            monkeypatch.setenv(f"{scheme}_proxy", address)
        elif how == "configuration":
            configure(Settings(http_proxy=address, https_proxy=address, auth_files=()))
        else:
            proxy.login = basic("me:secret")
            (tmp_path / "auth.conf").write_text("machine http://127.0.0.1 login me password secret")
            configure(Settings(http_proxy=proxy.address, https_proxy=proxy.address, auth_files=(tmp_path,)))
            monkeypatch.setenv("SNAPSHOT_PROXY_AUTH", "machine http://127.0.0.1 login me password secret")
        assert read(f"{scheme}://archive.example/a") == b"archive.example/a"
        assert origin.seen == [("/a", None)]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named_and_its_login_is_not(
    scheme: str, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_before(origin, basic("x:y")) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@{proxy.address}")
        with pytest.raises(SurroundingsError, match=rf"{proxy.address} does not let us there \(407\)") as caught:
            read(f"{scheme}://archive.example/a")
        assert "secret" not in repr(caught.value)
        assert len(proxy.asked) == 1, "asking again would not help"


def test_hosts_that_are_reached_without_it(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "corp.example,127.0.0.0/8")
    assert read(f"http://127.0.0.1:{origin.port}/a")
    configure(Settings(no_proxy="", auth_files=()))
    with pytest.raises(SurroundingsError, match="refused"):
        read(f"http://127.0.0.1:{origin.port}/a")
    configure(Settings(http_proxy="", auth_files=()))
    assert read(f"http://127.0.0.1:{origin.port}/a")


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "without"),
    [
        ("a.corp", 80, "", False),
        ("a.corp", 80, "*", True),
        ("a.corp", 80, "a.corp", True),
        ("a.corp", 80, "A.CORP", True),
        ("a.corp", 80, "corp", True),
        ("a.corp", 80, ".corp", True),
        ("a.corp", 80, "*.corp", True),
        ("acorp", 80, "corp", False),
        ("a.corp.evil", 80, "a.corp", False),
        ("a.corp", 80, "b.corp, a.corp", True),
        ("a.corp", 80, "b.corp a.corp", True),
        ("a.corp", 80, "a.corp:80", True),
        ("a.corp", 443, "a.corp:80", False),
        ("10.1.2.3", 80, "10.0.0.0/8", True),
        ("11.1.2.3", 80, "10.0.0.0/8", False),
        ("10.1.2.3", 80, "10.1.2.3", True),
        ("::1", 80, "::1", True),
        ("::1", 80, "[::1]:80", True),
        ("::1", 80, "[::1]:81", False),
        ("fd00::5", 80, "fd00::/8", True),
        ("a.corp", 80, ",,", False),
        ("a.corp", 80, ".", False),
    ],
)
def test_no_proxy(host: str, port: int, no_proxy: str, without: bool) -> None:
    assert bypassed(host, port, no_proxy) is without


@pytest.mark.parametrize("proxy", ["socks5://x:1", "https://x:1", "http://", "http://x:port", "http://me:secret@:8"])
def test_proxies_that_cannot_be_used(proxy: str) -> None:
    with pytest.raises(ConfigError, match="http_proxy") as caught:
        configure(Settings(http_proxy=proxy))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x/y", "http://x:y/z", "http://[::1/z", f"http://{'a' * 70}.example/"])
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="not an http or https address"):
        route(url)


def test_a_login_belongs_into_auth_conf() -> None:
    with pytest.raises(ConfigError, match=r"auth\.conf") as caught:
        read("http://me:secret@archive.example/x")
    assert "secret" not in str(caught.value)


def test_what_is_shown_of_an_address() -> None:
    assert shown("https://me:secret@a:8/b?token=secret") == "https://a:8/b?..."


# -- private archives


def test_a_private_archive(secure: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    secure.login = basic("me:secret")
    url = f"https://localhost:{secure.port}/private/x.deb"
    with pytest.raises(PipelineError, match=r"asks for a login.*\(401") as caught:
        read(url)
    assert "auth.conf.d" in str(caught.value)
    monkeypatch.setenv("SNAPSHOT_PROXY_AUTH", "machine localhost/private login me password secret")
    assert read(url)
    assert [who for _, who in secure.seen] == [None, basic("me:secret")]
    with pytest.raises(PipelineError, match="asks for a login"):
        read(f"https://localhost:{secure.port}/other/x.deb")


def test_a_login_in_apts_files(origin: Origin, tmp_path: Path) -> None:
    origin.login = basic("me:secret")
    (tmp_path / "auth.conf").write_text("machine http://127.0.0.1 login me password secret\n")
    configure(Settings(auth_files=(tmp_path / "auth.conf",)))
    assert read(f"http://127.0.0.1:{origin.port}/x")


def test_a_redirect_takes_no_login_along(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    with company_proxy.listening(Origin(a=f"http://localhost:{origin.port}/b")) as first:
        monkeypatch.setenv("SNAPSHOT_PROXY_AUTH", "machine http://127.0.0.1 login me password secret")
        assert read(f"http://127.0.0.1:{first.port}/a")
        assert first.seen == [("/a", basic("me:secret"))]
        assert origin.seen == [("/b", None)]


def test_a_redirect_to_a_host_that_is_known_gets_its_own_login(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    with company_proxy.listening(Origin(a=f"http://localhost:{origin.port}/b")) as first:
        monkeypatch.setenv("SNAPSHOT_PROXY_AUTH", "machine http://localhost login other password secret")
        assert read(f"http://127.0.0.1:{first.port}/a")
        assert (first.seen, origin.seen) == ([("/a", None)], [("/b", basic("other:secret"))])


def test_no_way_from_https_to_http(secure: Origin, origin: Origin) -> None:
    secure.redirects["/a"] = f"http://127.0.0.1:{origin.port}/b"
    with pytest.raises(PipelineError, match=r"redirected to .* not followed"):
        read(f"https://localhost:{secure.port}/a")
    assert origin.seen == []


def test_a_certificate_nobody_vouches_for(pem: Path) -> None:
    with (
        company_proxy.listening(company_proxy.with_tls(Origin(), pem)) as server,
        pytest.raises(SurroundingsError, match="certificate is not accepted") as caught,
    ):
        read(f"https://localhost:{server.port}/a")
    assert "SSL_CERT_FILE" in str(caught.value)


def test_a_certificate_of_another_host(secure: Origin) -> None:
    with pytest.raises(SurroundingsError, match="certificate is not accepted"):
        read(f"https://127.0.0.1:{secure.port}/a")


def test_nothing_there_through_a_proxy(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_before(origin) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        with pytest.raises(NotThereError, match="403"):
            read("http://other.example/a")
