"""The addon in a real mitmproxy whose hooks fail: never an answer from upstream, never a hanging client."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import local_archive
import pytest
from fault_origin import Origin, fault_origin
from frozen_archive import NOW, Frozen, Serving, frozen_archive, serving

from proxy import environment
from proxy.serving.main import ADDON

pytestmark = pytest.mark.root
BROKEN_ADDON = Path(__file__).parents[1] / "support/broken_addon.py"
SMALL = "/pool/small_1.0_all.deb"
HOOKS = ("requestheaders", "responseheaders", "error", "server_connect")


@pytest.fixture(scope="module")
def origin(key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("addon") / "archive", key)
    made.add("small")
    made.publish(date=NOW)
    with fault_origin(made.folder) as served:
        yield served


@pytest.fixture(scope="module")
def frozen(origin: Origin, key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    return frozen_archive(origin.address, key, tmp_path_factory.mktemp("frozen") / "cache")


@pytest.fixture(scope="module")
def inner(frozen: Frozen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(frozen, tmp_path_factory.mktemp("inner") / "requests.log") as made:
        yield made


class Mitmproxy:
    """One that runs. Both doors can be asked, plainly and by TLS."""

    def __init__(self, ready: dict[str, object], ca: Path) -> None:
        self.plain, self.redirected = ready["plain"], ready["redirected"]
        self._ca = ca

    def ask(self, url: str, how: str) -> tuple[int, bytes]:
        """Status and body; 0 for a connection that was cut. how: "proxy", "CONNECT", "redirected", "redirected TLS"."""
        host, _, path = url.removeprefix("http://").partition("/")
        door = self.redirected if how.startswith("redirected") else self.plain
        assert isinstance(door, list)
        context = ssl.create_default_context(cafile=str(self._ca))
        context.check_hostname = False
        connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(*door, timeout=60, context=context)
            if how in ("CONNECT", "redirected TLS")
            else http.client.HTTPConnection(*door, timeout=60)
        )
        if how == "CONNECT":
            name, _, port = host.partition(":")
            connection.set_tunnel(name, int(port))
        try:
            connection.request("GET", url if how == "proxy" else f"/{path}", headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError:
            raise
        except (http.client.HTTPException, OSError):
            return 0, b""
        finally:
            connection.close()


@contextmanager
def mitmproxy(server_port: int, folder: Path, broken: Sequence[str] = ()) -> Iterator[Mitmproxy]:
    confdir = folder / "mitmproxy"
    confdir.mkdir(parents=True)
    settings = {
        "server": ["127.0.0.1", server_port], "stamp": "20260301T120000Z", "journal": str(folder / "requests.log"),
        "folder": str(confdir), "parent": os.getpid(),
    }  # fmt: skip
    words = [environment.ensure(), "-I", BROKEN_ADDON, json.dumps(settings), ADDON, *broken]
    with (folder / "said").open("wb") as said, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, (folder / "said").read_text()
        ready = json.loads(line)
        (folder / "ca.pem").write_text(ready["ca"])
        try:
            yield Mitmproxy(ready, folder / "ca.pem")
        finally:
            child.terminate()
            child.wait(10)


WAYS = ("proxy", "CONNECT", "redirected", "redirected TLS")


@pytest.mark.parametrize(
    "broken",
    [
        (), *((hook,) for hook in HOOKS),
        ("inner:_redirect",), ("inner:_pass_through",), ("inner:_guard",), ("inner:_redirect", "inner:_refuse"),
        HOOKS,  # the audit hook alone
        ("requestheaders", "no audit"),  # server_connect alone
    ],
    ids=" ".join,
)  # fmt: skip
def test_never_an_answer_from_upstream(broken: tuple[str, ...], origin: Origin, inner: Serving, tmp_path: Path) -> None:
    with mitmproxy(inner.port, tmp_path, broken) as proxy:
        for way in WAYS:
            status, body = proxy.ask(f"{origin.address}/live/anything", way)
            assert status != 200
            assert b"live bytes" not in body
            status, body = proxy.ask(origin.address + SMALL, way)
            if status == 200:
                assert body == (origin.folder / SMALL[1:]).read_bytes()
            if not broken:
                assert status == 200
    assert origin.counts["/live/anything"] == 0
    assert not [path for path in origin.counts if path.startswith("http")]


def test_the_test_would_see_it(origin: Origin, inner: Serving, tmp_path: Path) -> None:
    """All of the addon broken, and no audit hook: mitmproxy goes on to the live archive."""
    everything = ("requestheaders", "responseheaders", "server_connect", "no audit")
    with mitmproxy(inner.port, tmp_path, everything) as proxy:
        assert proxy.ask(f"{origin.address}/live/anything", "proxy") == (200, b"live bytes nobody has signed")
        # Not so for connections that were redirected: they know one address only.
        assert proxy.ask(f"{origin.address}/live/anything", "redirected")[0] != 200
    origin.counts.clear()


def test_what_the_server_gets(inner: Serving, frozen: Frozen, tmp_path: Path) -> None:
    """No condition of the client gets through, and no header it made up."""
    with mitmproxy(inner.port, tmp_path) as proxy:
        assert isinstance(proxy.plain, list)
        connection = http.client.HTTPConnection(*proxy.plain, timeout=60)
        later = {
            "If-Modified-Since": "Sun, 01 Mar 2026 13:00:00 GMT",
            "X-Snapshot-Scheme": "gopher",
            "Range": "bytes=5-",
        }
        connection.request("GET", f"{frozen.uri}/dists/stable/InRelease", headers=later)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:34]) == (200, b"-----BEGIN PGP SIGNED MESSAGE-----")
        connection.request("POST", f"{frozen.uri}{SMALL}", body=b"x" * 100)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (405, b"only GET and HEAD\n")
        connection.close()
        connection = http.client.HTTPConnection(*proxy.plain, timeout=60)
        with pytest.raises((http.client.HTTPException, OSError)):  # not read into memory
            connection.request("POST", f"{frozen.uri}{SMALL}", body=b"x" * 5_000_000)
            connection.getresponse()
        connection.close()
    assert "405" in (tmp_path / "requests.log").read_text()
    assert not list((tmp_path / "mitmproxy").glob("mitmproxy-*"))  # the CA's key is nowhere on disk
