"""Whole images behind the snapshot proxy: what steps reach, an earlier instant, no network at all, a killed proxy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from building import COMMAND, TOP, Project, copy_without_layers, left_behind
from local_archive import Key, LocalArchive, served

from image_builder.layers import Store

pytestmark = pytest.mark.root
Make = Callable[[], Project]

# try NAME COMMAND...: says whether it worked; the hook goes on
TRY = """
    try() { name=$1; shift; if timeout 300 "$@"; then echo "## $name: reached"; else echo "## $name: refused"; fi; }
    get() { name=$1; shift; try "$name" wget -nv -T 120 -t 1 -O /dev/null "$@"; }
    update() { try "$1" apt-get -o Acquire::Retries=0 -o APT::Update::Error-Mode=any -o Dir::State::Lists=/tmp \
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::SourceList=/tmp/list "$2" update; }
"""
LEAKS = f"""{TRY}
    try 'frozen package' apt-get install --yes --no-install-recommends hello
    get 'frozen file by TLS' https://deb.debian.org/debian/dists/trixie/InRelease
    get 'unknown host' http://unknown.example/
    get 'unknown host by TLS' https://unknown.example/
    get 'TLS that is not verified' --no-check-certificate https://unknown.example/
    get address http://93.184.216.34/
    get 'address by TLS' --no-check-certificate https://93.184.216.34/
    get 'frozen host by address' --header 'Host: snapshot.debian.org' http://93.184.216.34/
    get 'other port' http://deb.debian.org:8081/
    get ipv6 'http://[2606:2800::1]/'
    get 'another suite' http://deb.debian.org/debian/dists/sid/InRelease
    get trace http://deb.debian.org/debian/project/trace/master
    echo 'deb http://deb.debian.org/debian trixie main' >/tmp/list
    update 'frozen archive, DIRECT' -oAcquire::http::Proxy=DIRECT
    echo 'deb [trusted=yes] http://93.184.216.34/debian sid main' >/tmp/list
    update 'another archive' -oAcquire::http::Proxy=DIRECT
    echo 'deb http://deb.debian.org/debian trixie main' >/tmp/list
    update 'a proxy elsewhere' -oAcquire::http::Proxy=http://192.0.2.9:3128
    grep -c 'END CERT' /etc/ssl/certs/ca-certificates.crt >/etc/marked
"""


def target(project: Project, script: str, *, packages: str = "", header: str = "") -> None:
    """A target of one chroot hook, whose file /etc/marked it delivers."""
    (project.folder / "image-builder.yaml").write_text(f"packages: [{packages}]\n")
    project.hook("base/mark.chroot", script, header=header)
    project.hook("base/one.binary", "[ -d chroot ] || cd ..\ncat chroot/etc/marked >livecd.$PROJECT.one")
    project.series("one", "base/mark.chroot\nbase/one.binary\nprovides livecd.$PROJECT.one\n")


def network(record: dict[str, Any]) -> dict[str, Any]:
    found = record["network"]
    assert isinstance(found, dict)
    return found


def log_of(project: Project, pattern: str) -> str:
    (log,) = project.artefact("logs").glob(pattern)
    return log.read_text()


def test_a_step_reaches_the_frozen_archive_and_nothing_else(small: Make) -> None:
    project = small()
    target(project, LEAKS, packages="wget, ca-certificates")
    record = project.build("one")
    found = dict(re.findall(r"^## (.*): (reached|refused)$", log_of(project, "chroot*.log"), re.M))
    reached = {"frozen package", "frozen file by TLS", "frozen archive, DIRECT"}
    assert {name for name, how in found.items() if how == "reached"} == reached
    assert len(found) == len(re.findall(r"^ *(?:get|update|try) ['a-z]", LEAKS, re.M))
    said = network(record)
    assert said["pinned"] is True
    assert any(url.startswith("http://unknown.example/") for url in said["refusals"])
    assert any("/project/trace/" in url for url in said["refusals"])
    assert {"tcp 192.0.2.80 port 8081", "tcp [2606:2800::1] port 80", "tcp 192.0.2.9 port 3128"} <= set(said["blocked"])
    assert "unknown.example A" in said["names"]
    assert any("no way out for" in warning for warning in record["warnings"])
    # the CA of the build was seen, and is not there
    seen = int(project.artefact("livecd.debian.one").read_text())
    (layer,) = [entry["key"] for entry in record["layers"] if entry["kind"] == "packages"]
    bundle = Store(project.store).get(layer)
    assert bundle is not None
    own = (bundle.diff / "chroot/etc/ssl/certs/ca-certificates.crt").read_text().count("END CERT")
    assert seen == own + 1
    for entry in record["layers"]:
        made = Store(project.store).get(entry["key"])
        assert made is not None
        assert "snapshot proxy" not in "".join(
            path.read_text(errors="replace") for path in made.diff.glob("chroot/etc/ssl/certs/*.crt") if path.is_file()
        )


@pytest.mark.full
def test_without_a_snapshot_it_is_said_loudly(small: Make) -> None:
    project = small()
    target(project, "getent hosts deb.debian.org >/dev/null && echo live >/etc/marked", packages="wget")
    said = project.run("build", "one", "--no-snapshot")
    assert "NOT PINNED" in said.stderr
    record = project.record()
    assert network(record)["pinned"] is False
    assert any(warning.startswith("NOT PINNED") for warning in record["warnings"])
    assert project.artefact("livecd.debian.one").read_text() == "live\n"
    # and none of its layers is taken for one of a pinned build
    kinds = {layer["kind"]: layer["key"] for layer in record["layers"]}
    project.hook("base/mark.chroot", "echo pinned >/etc/marked", header="")
    again = {layer["kind"]: layer["key"] for layer in project.build("one")["layers"]}
    assert not set(kinds.values()) & set(again.values())


def test_a_killed_proxy_stops_the_build_and_the_next_one_runs(small: Make) -> None:
    project = small()
    target(project, "echo in the middle\nsleep 400\necho through >/etc/marked")
    before = set((project.folder / "builds").glob("*"))
    with project.start("build", "one") as child:
        pid = _proxy_of(project, child, before)
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        _, stderr = child.communicate(timeout=200)
    assert child.returncode == 3, stderr
    assert time.monotonic() - began < 100
    assert "the snapshot proxy is gone, so the build stops" in stderr
    assert "nothing came in past it" in stderr
    assert project.record()["status"] == "failed"
    assert left_behind(project.store) == []
    project.hook("base/mark.chroot", "echo through >/etc/marked", header="")
    project.build("one")
    assert project.artefact("livecd.debian.one").read_text() == "through\n"


def _proxy_of(project: Project, child: subprocess.Popen[str], before: set[Path]) -> int:
    """The proxy's process, when the hook is in its middle."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and child.poll() is None:
        new = set((project.folder / "builds").glob("*")) - before
        if any("in the middle" in log.read_text(errors="replace") for f in new for log in f.glob("logs/chroot*.log")):
            break
        time.sleep(0.1)
    assert child.poll() is None, child.communicate()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if b"proxy.serving.main" in words and parent == child.pid:
            return int(folder.name)
    raise AssertionError("no proxy")


@pytest.fixture
def changing(tmp_path: Path, key: Key) -> LocalArchive:
    """An archive of one's own with a package that writes its version into the image."""
    return LocalArchive(tmp_path / "own-archive", key)


def use(project: Project, address: str, key: Key) -> None:
    """The project takes packages from that archive, too."""
    folder = project.folder / "config/archives"
    folder.mkdir(parents=True)
    (folder / "own.list.chroot").write_text(f"deb {address} stable main\n")
    (folder / "own.key.chroot").write_bytes(key.armoured.read_bytes())


def test_an_earlier_instant_gives_that_instants_packages(small: Make, changing: LocalArchive, key: Key) -> None:
    project = small()
    target(project, "dpkg-query -W -f '${Version}' program >/etc/marked", packages="program")
    (project.folder / "image-builder.lock").unlink()
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    old = changing.add("program", "1.0")
    changing.publish(date=start)
    with served(changing.folder) as address:
        use(project, address, key)
        project.build("one")
        assert project.artefact("livecd.debian.one").read_text() == "1.0"
        changing.add("program", "2.0")
        changing.publish(date=start + timedelta(hours=1))
        old.unlink()  # as archives do with what is superseded
        project.run("build", "one", "--update")
        assert project.artefact("livecd.debian.one").read_text() == "2.0"
        between = start + timedelta(minutes=30)
        project.environment["REPO_SNAPSHOT_STAMP"] = str(int(between.timestamp()))
        project.build("one")
        assert project.artefact("livecd.debian.one").read_text() == "1.0"
        lock = (project.folder / "image-builder.lock").read_bytes()
        project.build("one")
        assert (project.folder / "image-builder.lock").read_bytes() == lock, "made for this instant: not made again"


def test_lock_and_store_give_the_same_image_without_a_network(
    small: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = small()
    (first.folder / "hooks.d").symlink_to(TOP / "hooks.d")
    text = "packages: [bc]\nenvironment: {SQUASHFS_COMP: lz4}\n"
    (first.folder / "image-builder.yaml").write_text(text)
    first.run("build", "squashfs", "--update")
    again = small()
    again.store = tmp_path_factory.mktemp("cold") / "store"
    (again.folder / "hooks.d").symlink_to(TOP / "hooks.d")
    (again.folder / "image-builder.yaml").write_text(text)
    shutil.copy2(first.folder / "image-builder.lock", again.folder)
    copy_without_layers(first.store, again.store)
    offline = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    command = [*offline, COMMAND, "build", "squashfs", "--store", again.store]
    done = subprocess.run(
        command, check=False, cwd=again.folder, env={**os.environ, "CI": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert network(again.record())["fetched"] == 0
    sums = [project.artefact("SHA256SUMS").read_text() for project in (first, again)]
    assert sums[0] == sums[1]
