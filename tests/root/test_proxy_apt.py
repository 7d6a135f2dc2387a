"""Real apt, debootstrap and mmdebstrap as clients of the proxy."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import local_archive
import pytest
from fault_origin import FAULTS, Origin, fault_origin
from frozen_archive import NOW, Frozen, Serving, frozen_archive, serving
from small_apt import Apt

from proxy import connections
from proxy import http as upstream
from proxy.archive.assemble import assemble
from proxy.archive.freeze import freeze
from proxy.archive.sources import DEBIAN_KEYRING, Source
from proxy.process import start

pytestmark = pytest.mark.root
DEB, INDEX = "/pool/large_1.0_all.deb", "/by-hash/"
# Right bytes in another wrapping; the mirror says "partial" only when it is asked for a part.
HARMLESS = {"chunked", "no length", "redirect to the same elsewhere", "wrong Content-Range"}
WITH_INDICES = (
    "truncated",
    "stall",
    "flipped",
    "404",
    "304",
    "gzip",
    "429",
    "redirect to another file",
    "chunked, flipped",
)


@pytest.fixture(scope="module")
def origin(key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("apt") / "archive", key)
    made.add("large", content=random.Random(6).randbytes(3 << 20))
    made.add("small")
    made.publish(date=NOW)
    with fault_origin(made.folder) as served:
        yield served


@pytest.fixture(scope="module")
def template(origin: Origin, key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    return frozen_archive(origin.address, key, tmp_path_factory.mktemp("frozen") / "cache")


@pytest.fixture
def frozen(origin: Origin, template: Frozen, tmp_path: Path) -> Iterator[Frozen]:
    shutil.copytree(template.cache, tmp_path / "cache")
    yield Frozen(tmp_path / "cache" / template.path.relative_to(template.cache), tmp_path / "cache", template.uri)
    origin.faults.clear()
    connections.close_idle()


@pytest.fixture
def proxy(frozen: Frozen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """In this process, so that nobody has to wait half a minute for a server that says nothing."""
    monkeypatch.setattr(upstream, "PAUSE_S", 0.0)
    monkeypatch.setattr(upstream, "TRIES", 2)
    monkeypatch.setattr(upstream, "SLOW_S", 0.3)
    monkeypatch.setattr(connections, "TIMEOUT_S", 0.3)
    with serving(frozen, tmp_path / "requests.log") as made:
        yield made


@pytest.fixture
def apt(proxy: Serving, origin: Origin, key: local_archive.Key, tmp_path: Path) -> Apt:
    return Apt(tmp_path / "apt", origin.address, key.keyring, f"http://127.0.0.1:{proxy.port}")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_package(fault: str, apt: Apt, origin: Origin, proxy: Serving) -> None:
    right = (origin.folder / DEB[1:]).read_bytes()
    assert apt.run("update").returncode == 0
    origin.faults[DEB] = fault
    done = apt.run("download", "large")
    target = apt.here / Path(DEB).name
    if fault in HARMLESS:
        assert done.returncode == 0, done.stdout
        assert target.read_bytes() == right
        return
    assert done.returncode == 100, done.stdout
    assert not target.exists() or target.stat().st_size < len(right)  # apt leaves what came, by its final name
    assert not [line for line in proxy.lines() if line.url.endswith(DEB) and line.status in (200, 206)]
    origin.faults.clear()
    target.unlink(missing_ok=True)
    done = apt.run("download", "large")
    assert done.returncode == 0, done.stdout
    assert target.read_bytes() == right


@pytest.mark.parametrize("fault", WITH_INDICES)
def test_an_index(fault: str, apt: Apt, origin: Origin, frozen: Frozen) -> None:
    """Named by the frozen InRelease, and not yet in the store."""
    for path in (frozen.cache / "sha256").iterdir():
        if not path.read_bytes().startswith(b"-----BEGIN PGP"):
            path.unlink()
    origin.faults["/main/"] = fault
    done = apt.run("update")
    assert done.returncode == 100, done.stdout
    assert not list((apt.folder / "state/lists").glob("*Packages*"))
    origin.faults.clear()
    done = apt.run("update")
    assert done.returncode == 0, done.stdout


def test_what_apt_has_in_part_is_completed(apt: Apt, origin: Origin, proxy: Serving) -> None:
    right = (origin.folder / DEB[1:]).read_bytes()
    assert apt.run("update").returncode == 0
    partial = apt.folder / "cache/archives/partial" / Path(DEB).name
    partial.write_bytes(right[:1_000_000])
    os.utime(partial, (NOW.timestamp(), NOW.timestamp()))  # as apt leaves it: the Last-Modified it was told
    done = apt.run("install", "--download-only", "--yes", "large")
    assert done.returncode == 0, done.stdout
    assert (apt.folder / "cache/archives" / Path(DEB).name).read_bytes() == right
    assert proxy.lines()[-1].status == 206


@pytest.mark.parametrize("depth", ["10", "0"], ids=["pipelined", "one at a time"])
def test_the_whole_way(depth: str, frozen: Frozen, origin: Origin, key: local_archive.Key, tmp_path: Path) -> None:
    """With mitmproxy: plain, by CONNECT, and again offline; and apt cannot get what is not frozen."""
    right = (origin.folder / DEB[1:]).read_bytes()
    options = {"Acquire__http__Pipeline_Depth": depth}
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        way = f"http://127.0.0.1:{running.port}"
        secure = origin.address.replace("http:", "https:")
        for number, uri in enumerate((origin.address, secure)):
            apt = Apt(
                tmp_path / f"apt{number}", uri, key.keyring, way, Acquire__https__CAInfo=str(running.ca), **options
            )
            done = apt.run("update")
            assert done.returncode == 0, done.stdout
            done = apt.run("download", "large", "small")
            assert done.returncode == 0, done.stdout
            assert (apt.here / Path(DEB).name).read_bytes() == right
        other = Apt(tmp_path / "other", "http://deb.debian.org/debian", DEBIAN_KEYRING, way)
        done = other.run("update")
        assert (done.returncode, "403  deb.debian.org is not frozen" in done.stdout) == (100, True), done.stdout
        running.check()
    summary = running.summary()
    assert (summary["fetched"], summary["failed"]) == (2, 0)
    assert any("deb.debian.org" in url for url in summary["refusals"])
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "again", offline=True) as running:
        apt = Apt(tmp_path / "offline", origin.address, key.keyring, f"http://127.0.0.1:{running.port}", **options)
        assert apt.run("update").returncode == 0
        assert apt.run("download", "large").returncode == 0
        assert (apt.here / Path(DEB).name).read_bytes() == right
    assert running.summary()["from_store"] >= 3


def test_a_suite_that_is_not_there_is_an_error(
    frozen: Frozen, origin: Origin, key: local_archive.Key, tmp_path: Path
) -> None:
    """404 on all three names: after a 503 apt-get update would end well, with the lists it had."""
    with start(frozen.path, frozen.cache / "sha256", tmp_path / "run") as running:
        apt = Apt(
            tmp_path / "apt", origin.address, key.keyring, f"http://127.0.0.1:{running.port}",
            APT__Update__Error_Mode="",
        )  # fmt: skip
        (apt.folder / "sources.list").write_text(f"deb [signed-by={key.keyring}] {origin.address} other main\n")
        assert apt.run("update").returncode == 100
    asked = {line.split(" ")[7].rpartition("/")[2] for line in running.journal.read_text().splitlines()}
    assert {"InRelease", "Release"} <= asked
    assert running.summary()["requests"] == running.summary()["refused"]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """Debian's present stable as it is now."""
    uri, cache = "http://deb.debian.org/debian", tmp_path_factory.mktemp("debian") / "cache"
    source = Source(uri=uri, suite="trixie", components=("main",), architectures=("amd64",))
    pins = freeze([source], keyring=DEBIAN_KEYRING, cache=cache, now=datetime.now(UTC))
    return Frozen(assemble(pins, [source], keyring=DEBIAN_KEYRING, cache=cache), cache, uri)


def bootstrapped(proxy: str, suite: str, uri: str, keyring: Path, folder: Path, include: str) -> list[str]:
    """SHA-256 of the packages debootstrap fetched, in order of their names, then of mmdebstrap's list of files."""
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "http_proxy": proxy, "TMPDIR": str(folder)}
    root, made = folder / "debootstrap", folder / "mmdebstrap.tar"
    script = [] if suite == "trixie" else ["/usr/share/debootstrap/scripts/sid"]
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--download-only", f"--keyring={keyring}", suite, root, uri, *script],
        env=environ, check=True, stdout=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=extract", f"--include={include}", suite, made,
         f"deb [signed-by={keyring}] {uri} {suite} main"],
        env=environ, check=True, timeout=600,
    )  # fmt: skip
    packages = [path.read_bytes() for path in sorted((root / "var/cache/apt/archives").glob("*.deb"))]
    names = subprocess.run(["tar", "--list", "--file", made], check=True, capture_output=True).stdout
    shutil.rmtree(root)
    return [hashlib.sha256(data).hexdigest() for data in (*packages, names)]


def test_debootstrap_and_mmdebstrap(key: local_archive.Key, tmp_path: Path) -> None:
    """Each as its users start it; then both again with nothing but the store: the same packages."""
    made = local_archive.LocalArchive(tmp_path / "archive", key)
    for name in ("base-files", "dpkg", "apt"):
        made.add(name, Priority="required", Essential="yes")
    made.add("hello")
    made.publish(date=NOW)
    with fault_origin(made.folder) as served:
        frozen = frozen_archive(served.address, key, tmp_path / "cache")
        found = []
        for number, offline in enumerate((False, True)):
            folder = tmp_path / str(number)
            folder.mkdir()
            with start(frozen.path, frozen.cache / "sha256", folder / "run", offline=offline) as running:
                way = f"http://127.0.0.1:{running.port}"
                found.append(bootstrapped(way, "stable", served.address, key.keyring, folder, "hello"))
            assert running.summary()["failed"] == 0
            assert bool(running.summary()["fetched"]) is not offline
    assert found[0] == found[1]
    assert len(found[0]) == 4


@pytest.mark.full
def test_debootstrap_and_mmdebstrap_of_debian(debian: Frozen, tmp_path: Path) -> None:
    """The same with the real archive."""
    found = []
    for number, offline in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with start(debian.path, debian.cache / "sha256", folder / "run", offline=offline) as running:
            way = f"http://127.0.0.1:{running.port}"
            found.append(bootstrapped(way, "trixie", debian.uri, DEBIAN_KEYRING, folder, "hello"))
        summary = running.summary()
        assert summary["failed"] == 0
        assert summary["fetched"] == 0 if offline else summary["fetched"] > 50
    assert found[0] == found[1]
    assert len(found[0]) > 50
