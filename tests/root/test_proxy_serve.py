"""`snapshot-proxy serve` as its users start it: real apt as its client, and every way in which it can end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import local_archive
import pytest
from processes import children
from small_apt import Apt

from image_builder.lock import Lock
from proxy.blobs import Blobs
from proxy.store.upkeep import busy, prune

pytestmark = pytest.mark.root
PROJECT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)


@dataclass
class Ground:
    """An archive whose "program" is 2.0 since yesterday, and was 1.0 before; a user's folder."""

    archive: local_archive.LocalArchive
    uri: str
    keyring: Path
    folder: Path
    now: datetime

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def source(self) -> str:
        return f"deb [arch=amd64 signed-by={self.keyring}] {self.uri} stable main"

    def before(self, hours: int) -> str:
        return f"{self.now - hours * HOUR:%Y%m%dT%H%M%SZ}"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`snapshot-proxy` in the user's folder. Temporary files are made there too, so that what is left is seen."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(PROJECT),
            "SNAPSHOT_PROXY_STORE": str(self.store), "TMPDIR": str(self.folder / "tmp"),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "proxy", *words], cwd=self.folder, env=environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def call(self, *words: str) -> tuple[int, str, str]:
        with self.start(*words) as child:
            stdout, stderr = child.communicate(timeout=60)
            return child.returncode, stdout, stderr

    @contextmanager
    def serve(self, *words: str) -> Iterator[Server]:
        """`serve --json` on any port, for the length of the block; killed then if it is still there."""
        with self.start("serve", "--json", "--listen", "127.0.0.1:0", *words, self.source) as child:
            try:
                assert child.stdout is not None
                line = child.stdout.readline()
                assert line, child.communicate()[1]
                yield Server(child, json.loads(line))
            finally:
                child.kill()

    def apt(self, name: str, server: Server, **options: str) -> Apt:
        return Apt(self.folder / name, self.uri, self.keyring, server.address, **options)


@dataclass
class Server:
    child: subprocess.Popen[str]
    said: dict[str, Any]

    @property
    def address(self) -> str:
        found: str = self.said["addresses"][0]
        return found

    def pids(self) -> list[int]:
        """Of all its processes."""
        found = [self.child.pid]
        for pid in found:
            found += children(pid)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.child.send_signal(number)
        stdout, stderr = self.child.communicate(timeout=30)
        return self.child.returncode, stdout, stderr


@pytest.fixture
def ground(key: local_archive.Key, tmp_path: Path) -> Iterator[Ground]:
    now = datetime.now(UTC).replace(microsecond=0)  # it is a program of its own, which has the machine's clock
    made = local_archive.LocalArchive(tmp_path / "archive", key)
    made.add("program", "1.0")
    made.publish(date=now - 48 * HOUR, history=True)
    made.remove("program", from_pool=False)
    made.add("program", "2.0")
    made.publish(date=now - 24 * HOUR, history=True)
    with local_archive.served(made.folder) as uri:
        (tmp_path / "user").mkdir()
        yield Ground(made, uri, key.keyring, tmp_path / "user", now)


def eventually(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("hours", "version"), [(30, "1.0"), (20, "2.0")])
def test_apt_sees_the_archive_of_an_instant(hours: int, version: str, ground: Ground) -> None:
    with ground.serve("--snapshot", ground.before(hours)) as server:
        apt = ground.apt("apt", server)
        assert apt.run("update").returncode == 0
        done = apt.run("download", "program")
        assert done.returncode == 0, done.stdout
        pids = server.pids()
        assert len(pids) == 3
        status, stdout, stderr = server.end()
    (deb,) = apt.here.iterdir()
    assert deb.read_bytes() == (ground.archive.folder / f"pool/program_{version}_all.deb").read_bytes()
    assert status == 0, stderr
    summary = json.loads(stdout)
    assert summary["stamp"] == ground.before(hours)
    assert (summary["fetched"], summary["refused"], summary["failed"]) == (1, 0, 0)
    assert summary["requests"] >= 3
    assert not [pid for pid in pids if alive(pid)]
    assert list((ground.folder / "tmp").iterdir()) == []
    assert not busy(Blobs(ground.store / "sha256"))


def test_a_lock_is_served_as_long_as_no_other_instant_is_asked_for(ground: Ground) -> None:
    """Also when the archive has moved on and is gone: what the lock names was kept."""
    assert ground.call("lock", "--snapshot", ground.before(30), ground.source)[0] == 0
    lock = (ground.folder / "image-builder.lock").read_bytes()
    with ground.serve() as server:
        apt = ground.apt("first", server)
        assert apt.run("update").returncode == 0
        assert apt.run("download", "program").returncode == 0
        status, _, stderr = server.end(signal.SIGINT)
        assert (status, "image-builder.lock: 2 days" in stderr) == (0, True), stderr
    with ground.serve("--snapshot", ground.before(20)) as server:
        apt = ground.apt("other", server)
        assert apt.run("update").returncode == 0
        assert apt.run("download", "program").returncode == 0
        assert [path.name for path in apt.here.iterdir()] == ["program_2.0_all.deb"]
        assert "not written" in server.end()[2]
    assert (ground.folder / "image-builder.lock").read_bytes() == lock
    (ground.archive.folder / "pool").rename(ground.folder / "away")
    (ground.archive.folder / "dists").rename(ground.folder / "away too")
    with ground.serve("--offline") as server:
        apt = ground.apt("offline", server)
        assert apt.run("update").returncode == 0
        done = apt.run("download", "program")
        assert done.returncode == 0, done.stdout
        assert [path.name for path in apt.here.iterdir()] == ["program_1.0_all.deb"]
        summary = json.loads(server.end()[1])
    assert (summary["fetched"], summary["failed"]) == (0, 0)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param(("--listen", "8080"), 2, "'8080' is no HOST:PORT", id="listen"),
        pytest.param(("--listen", "127.0.0.1:http"), 2, "is no HOST:PORT", id="port"),
        pytest.param(("--snapshot", "tomorrow"), 2, "no instant", id="stamp"),
        pytest.param(("nosuch.list",), 2, "is no source", id="source"),
        pytest.param(("--mitmproxy", "/bin/nosuch"), 2, "does not exist", id="mitmproxy"),
        pytest.param(("--lock", "/dev/null"), 2, "not JSON", id="lock"),
        pytest.param(("--snapshot", "20200101T000000Z"), 1, "stable", id="an instant nobody knows"),
    ],
)
def test_what_cannot_be_served(words: tuple[str, ...], status: int, said: str, ground: Ground) -> None:
    found, stdout, stderr = ground.call("serve", *words, ground.source)
    assert (found, stdout) == (status, ""), stderr
    assert said in stderr
    assert "Traceback" not in stderr
    assert list((ground.folder / "tmp").iterdir()) == []


def test_a_port_that_is_taken(ground: Ground) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, stdout, stderr = ground.call("serve", "--listen", address, ground.source)
    assert (status, stdout) == (3, ""), stderr
    assert f"{address}: cannot listen there: Address already in use" in stderr
    assert "Traceback" not in stderr
    assert not busy(Blobs(ground.store / "sha256"))


def test_killed(ground: Ground) -> None:
    """Nothing of it stays, and the next one serves."""
    with ground.serve() as server:
        pids = server.pids()
        server.child.kill()
        assert eventually(lambda: not any(alive(pid) for pid in pids))
    assert not busy(Blobs(ground.store / "sha256"))
    with ground.serve() as server:
        assert ground.apt("apt", server).run("update").returncode == 0


def test_its_server_killed(ground: Ground) -> None:
    with ground.serve() as server:
        _, serving, _ = pids = server.pids()
        os.kill(serving, signal.SIGKILL)
        _, stderr = server.child.communicate(timeout=60)
        assert (server.child.returncode, "nothing unpinned got in" in stderr) == (3, True), stderr
        assert eventually(lambda: not any(alive(pid) for pid in pids))


def test_what_is_served_is_not_pruned(ground: Ground) -> None:
    """Neither what was asked for nor what the lock names besides; when it has ended, all of it may go."""
    store = Blobs(ground.store / "sha256")
    program = (ground.archive.folder / "pool/program_2.0_all.deb").read_bytes()
    named, other = store.add(program), store.add(b"of another lock")
    for path in (store.path(named), store.path(other)):
        os.utime(path, (1000, 1000))
    with ground.serve() as server:
        status, stdout, stderr = ground.call("store", "--store", str(ground.store), "prune", "--max-size", "0")
        assert (status, stdout.splitlines()[0]) == (0, other), stderr
        apt = ground.apt("apt", server)
        assert apt.run("update").returncode == 0
        assert apt.run("download", "program").returncode == 0
        assert json.loads(server.end()[1])["fetched"] == 0
    assert hashlib.sha256(program).hexdigest() in prune(store, 0).removed


def test_the_lock_of_another_program_is_read(ground: Ground) -> None:
    """One with snaps alone pins no archive: resolved now, and left as it is."""
    lock = Lock(created=ground.now)
    lock.write(ground.folder / "image-builder.lock")
    with ground.serve() as server:
        assert ground.apt("apt", server).run("update").returncode == 0
        assert server.end()[0] == 0
    assert Lock.read(ground.folder / "image-builder.lock") == lock
