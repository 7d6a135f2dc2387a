"""A local mirror of some real packages, the servers beside it, and an apt that fetches from them."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from image_builder.run import BASE_ENV, run
from proxy.archive.freeze import blobs, freeze, thaw
from proxy.archive.indices import named_files
from proxy.archive.sources import DEBIAN_KEYRING, Source

UPSTREAM = "http://deb.debian.org/debian"
SUITE = "trixie"
LARGEST_BYTES = 20 << 20  # a few packages of hundreds of megabytes would be most of what is measured
START_S = 15.0


@dataclass(frozen=True)
class Mirror:
    """A folder a web server can show: the real InRelease and Packages, and some of the packages."""

    folder: Path
    names: tuple[str, ...]  # of the packages that are there
    size_bytes: int  # of them all


def make(folder: Path, count: int) -> Mirror:
    """Fetch as many packages, chosen by their hash: that is at random, and each time the same ones."""
    source = _source(UPSTREAM)
    cache = folder / "upstream"
    pins = freeze([source], keyring=DEBIAN_KEYRING, cache=cache, now=datetime.now(UTC))
    (suite,) = thaw(pins, [source], keyring=DEBIAN_KEYRING, cache=cache)
    top = folder / "mirror/debian"
    dists = top / "dists" / SUITE
    dists.mkdir(parents=True)
    shutil.copy(blobs(cache).path(pins[0].inrelease_sha256), dists / "InRelease")
    found = []
    for name, file in suite.indices.items():
        index = blobs(cache).path(file.sha256)
        place = dists / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(index, place)
        (place.parent / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
        shutil.copy(index, place.parent / "by-hash/SHA256" / file.sha256)
        del name
        found += [one for one in named_files(index, file.path, "") if (one[2] or 0) < LARGEST_BYTES]
    chosen = sorted(found, key=lambda one: one[1])[:count]
    size = 0
    for path, sha256, length in chosen:
        fetched = blobs(cache).fetch(f"{UPSTREAM}/{path}", sha256.hex(), length or 0)
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(fetched, top / path)
        size += length or 0
    names = tuple(Path(path).name.split("_")[0] for path, _, _ in chosen)
    return Mirror(folder / "mirror", names, size)


def _source(uri: str) -> Source:
    return Source(uri=uri, suite=SUITE, components=("main",), architectures=("amd64",))


def pinned(uri: str, cache: Path) -> tuple[list[ArchivePin], list[Source]]:
    """The mirror frozen, with its indices in the cache."""
    source = _source(uri)
    return freeze([source], keyring=DEBIAN_KEYRING, cache=cache, now=datetime.now(UTC)), [source]


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """The address under which it shows a folder, and its log of requests."""
    folder.mkdir()
    port, log = free_port(), folder / "access.log"
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log {log}; sendfile on; tcp_nopush on; keepalive_requests 100000;\n"
        "  default_type application/octet-stream;\n"
        f"  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n"
        f"  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    with _daemon(["nginx", "-c", str(config)], port):
        yield f"http://127.0.0.1:{port}", log


@contextmanager
def apt_cacher_ng(folder: Path, origin: str) -> Iterator[tuple[str, int]]:
    """Its address, and its process. origin: the one it may fetch from."""
    folder.mkdir()
    port = free_port()
    settings = {
        "CacheDir": folder / "cache", "LogDir": folder / "log", "SupportDir": "/usr/lib/apt-cacher-ng",
        "BindAddress": "127.0.0.1", "Port": port, "ForeGround": 1, "PidFile": folder / "pid",
        "SocketPath": folder / "socket", "AllowUserPorts": f"80 {origin.rpartition(':')[2]}",
    }  # fmt: skip
    for name in ("cache", "log"):
        (folder / name).mkdir()
    (folder / "acng.conf").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    with _daemon(["apt-cacher-ng", "-c", str(folder)], port) as process:
        yield f"http://127.0.0.1:{port}", process


def free_port(first: int = 20000) -> int:
    """Below 32768: apt-cacher-ng 3.7.4 cannot bind the others, and says "Error resolving address"."""
    for port in range(first, 32768):
        with socket.socket() as one, suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            return port
    raise SurroundingsError("no port is free", where="127.0.0.1")


@contextmanager
def _daemon(words: Sequence[str], port: int) -> Iterator[int]:
    # It ends with us, however we end.
    command = ["setpriv", "--pdeathsig", "KILL", *words]
    with subprocess.Popen(command, env=BASE_ENV, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        try:
            until = time.monotonic() + START_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError as e:
                    if process.poll() is not None or time.monotonic() > until:
                        raise SurroundingsError("did not start", where=words[0]) from e
                    time.sleep(0.05)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


class Reader:
    """Reads files one after the other over one connection, and hashes them, as apt does."""

    def __init__(self, address: str, uri: str) -> None:
        """address: of the server, which is a proxy where the archive is another's. uri: the archive's."""
        server, archive = urlsplit(address), urlsplit(uri)
        self._connection = http.client.HTTPConnection(server.netloc, timeout=30)
        self._uri, self._host = archive.path if server.netloc == archive.netloc else uri, archive.netloc

    def wait_s(self, path: str) -> float:
        """From the request to the last byte."""
        began = time.perf_counter()
        self._connection.request("GET", f"{self._uri}/{path}", headers={"Host": self._host})
        answer, digest = self._connection.getresponse(), hashlib.sha256()
        while piece := answer.read(64 << 10):
            digest.update(piece)
        return time.perf_counter() - began

    def close(self) -> None:
        self._connection.close()


class Apt:
    """An apt with folders of its own, whose lists are of the mirror."""

    def __init__(self, folder: Path, uri: str) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d"):
            (folder / name).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={DEBIAN_KEYRING}] {uri} {SUITE} main\n")
        (folder / "status").touch()
        self._folder = folder
        self._options = {
            "Dir::State": folder / "state", "Dir::State::Status": folder / "status", "Dir::Cache": folder / "cache",
            "Dir::Etc": folder / "etc", "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "-",
            "APT::Architecture": "amd64", "APT::Architectures::": "amd64", "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }  # fmt: skip
        self._run(["update"], {})

    def download(self, names: Sequence[str], proxy: str = "", *, pipelined: bool = True) -> None:
        """`apt-get download` of all of them in one call, into a new folder; see forget()."""
        target = Path(tempfile.mkdtemp(prefix="here", dir=self._folder))
        more = {
            "Acquire::http::Proxy": proxy or "DIRECT",
            **({} if pipelined else {"Acquire::http::Pipeline-Depth": "0"}),
        }
        self._run(["download", *names], more, target)
        if (there := len(list(target.glob("*.deb")))) != len(names):
            raise PipelineError(f"{there} of {len(names)} packages are there", where="apt-get download")

    def forget(self) -> None:
        """Empty what was downloaded. Not remove it: for a minute ext4 looks past every inode that was deleted, at the
        expense of whoever makes files next."""
        for file in self._folder.glob("here*/*.deb"):
            if file.stat().st_size:
                os.truncate(file, 0)

    def _run(self, words: Sequence[str], more: dict[str, str], cwd: Path | None = None) -> None:
        options = [f"-o{name}={value}" for name, value in {**self._options, **more}.items()]
        run(["apt-get", "-qq", *options, *words], cwd=cwd, timeout_s=1200)
