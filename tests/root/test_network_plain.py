"""`lb build plain`: live-build's own command behind the proxy, by each of the three ways; lb is a small stand-in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_fixtures import NOW
from local_archive import Key, LocalArchive, served

pytestmark = pytest.mark.root
COMMAND = Path(sys.executable).with_name("image-builder")
UP = "ip link set lo up && ip address add 198.51.100.1/32 dev lo && ip route add default dev lo"
MACHINE = ["unshare", "--net", "sh", "-c", f'{UP} && exec "$@"', "sh"]
FROZEN = r"200 [0-9]{8}T[0-9]{6}Z [0-9a-f]{64}"  # with the header of the proxy
LB = """#!/bin/sh
echo "ran: lb $*"
get() { curl -sS -m 3 -o /dev/null -w "$1: %{http_code} %header{x-snapshot}\\n" "$2" 2>&1 || echo "$1: failed"; }
get frozen @ADDRESS@/dists/stable/InRelease
get unknown @ADDRESS@/dists/other/InRelease
get elsewhere http://192.0.2.80/
get port http://192.0.2.80:81/
[ ! -e wait ] || { echo waiting; sleep 60; }
[ ! -e fail ] || exit 7
"""


class Plain:
    """A project whose only archive is a local one, and a stand-in for lb."""

    def __init__(self, folder: Path, address: str, key: Key) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        (folder / "bin").mkdir()
        (folder / "bin/lb").write_text(LB.replace("@ADDRESS@", address))
        (folder / "bin/lb").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "CI": "1"}
        (self.folder / "image-builder.yaml").write_text(
            f"suite: stable\narchitecture: amd64\nmirror: {address}\nupdates: false\nsecurity: false\n"
            f"keyring: {key.keyring}\nstore: {folder}/store\n"
        )

    def start(self, *before: str) -> subprocess.Popen[str]:
        words = [*before, COMMAND, "live-build", "build", "--", "plain"]
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip

    def build(self, *before: str, status: int = 0) -> tuple[dict[str, str], str]:
        """What the stand-in reached, and what the command said."""
        with self.start(*before) as child:
            stdout, stderr = child.communicate(timeout=120)
        assert child.returncode == status, stdout + stderr
        assert "ran: lb build noauto\n" in stdout
        return dict(re.findall(r"^(\w+): (?:curl.*\n)?(.*)$", stdout, re.M)), stderr


@pytest.fixture
def plain(tmp_path: Path, archive: LocalArchive, key: Key) -> Iterator[Plain]:
    with served(archive.folder) as address:
        yield Plain(tmp_path, address, key)


def test_in_a_namespace(plain: Plain) -> None:
    found, said = plain.build()
    assert "in a network namespace" in said
    assert re.fullmatch(FROZEN, found["frozen"])
    assert found["unknown"].startswith("404 ")
    assert found["elsewhere"].startswith("403 ")
    assert found["port"] == "failed"
    assert "tcp 192.0.2.80 port 81: " in (plain.folder / "snapshot-proxy/blocked.log").read_text()
    assert NOW.strftime("%Y-%m-%d") in (plain.folder / "image-builder.lock").read_text()


def on_the_same_machine(plain: Plain, tmp_path: Path, drop: str) -> tuple[dict[str, str], str, str]:
    """The same without a capability, in a namespace that stands for the machine; then what rules are left there.

    The archive is outside of it, so the lock is made before, and all that is asked for is in the store.
    """
    plain.build()
    script = tmp_path / "machine.sh"
    script.write_text(
        f'setpriv --bounding-set={drop} --inh-caps={drop} "$@"; status=$?; nft list ruleset >{tmp_path}/left\n'
        "exit $status\n"
    )
    found, said = plain.build(*MACHINE, "sh", str(script))
    return found, said, (tmp_path / "left").read_text()


def test_by_a_redirect_where_namespaces_are_not_allowed(plain: Plain, tmp_path: Path) -> None:
    found, said, left = on_the_same_machine(plain, tmp_path, "-sys_admin")
    assert "by a redirect of this machine's port 80 to 8080" in said
    assert re.fullmatch(FROZEN, found["frozen"])
    assert found["unknown"].startswith("404 ")
    assert found["elsewhere"].startswith("403 ")
    assert left == ""


def test_by_a_variable_where_nothing_is_allowed(plain: Plain, tmp_path: Path) -> None:
    found, said, _ = on_the_same_machine(plain, tmp_path, "-sys_admin,-net_admin")
    assert "by http_proxy, which programs may ignore" in said
    assert re.fullmatch(FROZEN, found["frozen"])
    assert found["elsewhere"].startswith("403 ")


def test_its_exit_status_is_live_builds(plain: Plain) -> None:
    (plain.folder / "fail").touch()
    plain.build(status=7)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_nothing_runs_on_when_it_is_killed(plain: Plain, by: signal.Signals) -> None:
    (plain.folder / "wait").touch()
    with plain.start() as child:
        assert child.stdout is not None
        while child.stdout.readline() not in ("waiting\n", ""):
            pass
        child.send_signal(by)
        child.communicate(timeout=60)
    end = time.monotonic() + 60
    while left := _running(plain.folder):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def _running(folder: Path) -> list[str]:
    """Processes in this folder, or with it among their words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            at = (process / "cwd").readlink()
        except OSError:
            continue
        if str(folder.parent) in words or (at == folder and "sleep" in words):
            found.append(words)
    return found
