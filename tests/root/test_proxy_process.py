"""The proxy as a process: ready, watched, ended in every way, with nothing left; a full disk; a file of 4 GB."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import local_archive
import pytest
from fault_origin import Origin, fault_origin
from frozen_archive import NOW, Frozen, frozen_archive
from processes import children

from image_builder.errors import SurroundingsError
from proxy.process import Running, start

pytestmark = pytest.mark.root
LARGE, NAME = "/pool/large_1.0_all.deb", "/dists/stable/InRelease"
LARGE_BYTES = 8 << 20
MEMORY_MB = 150  # of the server and of mitmproxy, each


@pytest.fixture(scope="module")
def origin(key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("process") / "archive", key)
    made.add("large", content=random.Random(7).randbytes(LARGE_BYTES))
    made.publish(date=NOW)
    with fault_origin(made.folder) as served:
        yield served


@pytest.fixture
def frozen(origin: Origin, key: local_archive.Key, tmp_path: Path) -> Iterator[Frozen]:
    yield frozen_archive(origin.address, key, tmp_path / "cache")
    origin.faults.clear()
    origin.counts.clear()


def get(port: int, url: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", url)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def gone(pids: list[int], within_s: float = 60.0) -> bool:
    """Ended, or waiting for a parent that will never ask."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not [pid for pid in pids if _alive(pid)]:
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_life(frozen: Frozen, tmp_path: Path) -> None:
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run", listen=["127.0.0.1:0", "[::1]:0"]) as running:
        pids = [running.pid, *children(running.pid)]
        assert len(pids) == 2
        assert [host for host, _ in running.addresses] == ["127.0.0.1", "::1"]
        assert get(running.port, "http://snapshot-proxy.invalid/") == (200, b"snapshot-proxy 20260301T120000Z\n")
        with socket.create_connection(running.addresses[1]) as connection:
            connection.sendall(b"GET http://snapshot-proxy.invalid/ HTTP/1.1\r\nHost: snapshot-proxy.invalid\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        until = time.monotonic() + 60
        while running.counters().requests < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert running.counters().requests == 2
        assert oct(running.ca.stat().st_mode & 0o777) == "0o644"
        assert b"PRIVATE" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        arguments = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
        assert not [words for words in arguments if b"upstream" in words]
        running.check()
        assert not running.died.is_set()
    assert gone(pids)
    assert running.stop()["requests"] == 2
    assert not (tmp_path / "run/mitmproxy").exists()
    assert json.loads(json.dumps(running.summary()))["stamp"] == "20260301T120000Z"


@pytest.mark.parametrize("which", ["server", "mitmproxy"])
def test_killed(which: str, frozen: Frozen, origin: Origin, tmp_path: Path) -> None:
    """In the middle of a file: the client sees that it is not whole, both processes are gone, their starter is told."""
    origin.faults[LARGE] = "stall"
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        mitmproxy = children(running.pid)
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        connection.request("GET", origin.address + LARGE)
        answer = connection.getresponse()
        assert (answer.status, len(answer.read(100_000))) == (200, 100_000)
        os.kill(running.pid if which == "server" else mitmproxy[0], signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()
        connection.close()
        assert running.died.wait(10)
        assert gone([running.pid, *mitmproxy])
        with pytest.raises(SurroundingsError, match=r"ended .*nothing unpinned got in"):
            running.check()
        with pytest.raises(OSError):
            get(running.port, origin.address + NAME)
    # What came stays: the next one goes on with it.
    origin.faults.clear()
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "next") as running:
        assert get(running.port, origin.address + LARGE) == (200, (origin.folder / LARGE[1:]).read_bytes())
        running.check()


STARTER = """
import sys, time
from pathlib import Path
from proxy.process import start
running = start(*map(Path, sys.argv[1:4]))
print(running.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_it_does_not_outlive_who_started_it(number: signal.Signals, frozen: Frozen, tmp_path: Path) -> None:
    words = [sys.executable, "-c", STARTER, frozen.path, frozen.cache / "sha256", tmp_path / "run"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        pids = [pid, *children(pid)]
        assert len(pids) == 2
        starter.send_signal(number)
        assert gone(pids)


def test_what_cannot_start_says_why(frozen: Frozen, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SurroundingsError, match="Address already in use"):
            start(frozen.path, frozen.cache / "sha256", tmp_path / "run", listen=[address])
    with pytest.raises(SurroundingsError, match="mitmproxy did not start"):
        start(frozen.path, frozen.cache / "sha256", tmp_path / "run", python=Path("/bin/false"))
    assert not (tmp_path / "run/mitmproxy").exists()


def test_a_name_on_https_that_is_not_frozen(frozen: Frozen, origin: Origin, tmp_path: Path) -> None:
    """A client that trusts the CA is refused; one that does not leaves a line too."""
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        trusting = ssl.create_default_context(cafile=str(running.ca))
        for context, expected in ((trusting, 403), (ssl.create_default_context(), None)):
            with socket.create_connection(("127.0.0.1", running.port), 60) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname="evil.example") as connection:
                        connection.sendall(b"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
                        assert connection.recv(1000).startswith(f"HTTP/1.1 {expected} ".encode())
                except ssl.SSLCertVerificationError:
                    assert expected is None
        name, _, port = origin.address.removeprefix("http://").partition(":")
        with socket.create_connection(("127.0.0.1", running.port), 60) as plain:
            plain.sendall(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n".encode())
            assert plain.recv(1000).startswith(b"HTTP/1.1 200")
            plain.sendall(b"SSH-2.0-x\r\n\r\n")  # neither TLS nor HTTP
            rest = b"".join(iter(lambda: plain.recv(1000), b""))
            assert b"live" not in rest
        until = time.monotonic() + 60
        while running.counters().requests < 3 and time.monotonic() < until:
            time.sleep(0.05)
    refusals = running.summary()["refusals"]
    assert refusals["https://evil.example/x"].startswith("403 evil.example is not frozen")
    assert any(url.startswith("https://evil.example[127.0.0.1:") for url in refusals)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system in memory with so many bytes."""
    place = tmp_path / "disk"

    def made(size_bytes: int) -> Path:
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "test", place], check=True)
        return place

    yield made
    if place.is_mount():
        # Lazily: this process keeps a folder for temporary files there until it ends.
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk(origin: Origin, key: local_archive.Key, small_disk: Callable[[int], Path], tmp_path: Path) -> None:
    """A clear end, no whole answer with half a file, and the same proxy goes on when there is room."""
    disk = small_disk(LARGE_BYTES // 2)
    frozen = frozen_archive(origin.address, key, disk / "cache")
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        try:
            status, _ = get(running.port, origin.address + LARGE)
        except (http.client.IncompleteRead, OSError):
            status = 0  # of a file this large the beginning was out already
        assert status in (0, 507)
        assert get(running.port, origin.address + NAME)[0] == 200
        subprocess.run(["mount", "-o", f"remount,size={LARGE_BYTES * 3}", disk], check=True)
        assert get(running.port, origin.address + LARGE) == (200, (origin.folder / LARGE[1:]).read_bytes())
    assert any("is full" in reason for reason in running.summary()["failures"].values())


@pytest.mark.full
def test_memory_does_not_grow_with_a_file(key: local_archive.Key, tmp_path: Path) -> None:
    """4 GB, cold and from the store, plain and by TLS."""
    size = 4 << 30
    made = local_archive.LocalArchive(tmp_path / "archive", key)
    deb = made.add("huge")
    piece, digest = random.Random(8).randbytes(1 << 20), hashlib.sha256()
    with deb.open("wb") as file:
        for _ in range(size >> 20):
            file.write(piece)
            digest.update(piece)
    made.changed("huge")
    made.publish(date=NOW)
    with local_archive.served(made.folder) as address:
        frozen = frozen_archive(address, key, tmp_path / "cache")
        with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
            for secure in (False, False, True):
                assert _read(running, f"{address}/pool/{deb.name}", secure) == (size, digest.hexdigest())
            for pid in (running.pid, *children(running.pid)):
                assert _peak_mb(pid) < MEMORY_MB, Path(f"/proc/{pid}/cmdline").read_bytes()


def _read(running: Running, url: str, secure: bool) -> tuple[int, str]:
    host, _, path = url.removeprefix("http://").partition("/")
    if secure:
        context = ssl.create_default_context(cafile=str(running.ca))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", running.port, timeout=60, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    connection.request("GET", f"/{path}", headers={"Host": host})
    answer, got, digest = connection.getresponse(), 0, hashlib.sha256()
    assert answer.status == 200
    while data := answer.read(1 << 20):
        got += len(data)
        digest.update(data)
    connection.close()
    return got, digest.hexdigest()


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def test_clients_who_stay_do_not_stop_it(frozen: Frozen, origin: Origin, tmp_path: Path) -> None:
    """Many connections at once, some of which never ask for anything."""
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(50)]
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(get(running.port, origin.address + NAME)[0]))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 20
        for connection in idle:
            connection.close()
