"""clean_root.sh: what no image may hold is found, each thing for itself, and taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from image_builder.live_build.scripts import plain_clean_hook

Shell = Callable[..., tuple[int, str]]
Plant = Callable[[Mapping[str, str]], None]

# What clean_root takes away: path in the root, content, what check_root says while it is there.
DIRT = [
    ("etc/ssh/ssh_host_rsa_key", "key", "host key: /etc/ssh/ssh_host_rsa_key"),
    ("etc/machine-id", "0123456789abcdef\n", "machine-id: /etc/machine-id is set"),
    ("var/lib/dbus/machine-id", "0123", "machine-id: /var/lib/dbus/machine-id is set"),
    ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", "policy-rc.d is left behind"),
    ("etc/apt/apt.conf.d/00recommends", "x", "apt setting of the build: /etc/apt/apt.conf.d/00recommends"),
    ("etc/resolv.conf", "nameserver 10.0.0.1\n", "resolv.conf of the builder"),
    ("etc/.resolv.conf.systemd-resolved.bak", "nameserver 10.0.0.1\n", "resolv.conf of the builder: .resolv.conf"),
    ("etc/hostname", "buildd-7\n", "hostname is buildd-7"),
    ("etc/hostname", "localhost.localdomain\n", "hostname is localhost.localdomain"),
    ("etc/hosts", "", "/etc/hosts does not name localhost"),
    ("etc/hosts", "127.0.0.1 localhost.localdomain localhost\n", "localhost.localdomain is left behind"),
    ("var/log/dpkg.log", "installed", "log: /var/log/dpkg.log"),
    ("var/log/apt/history.log", "installed", "log: /var/log/apt/history.log"),
    ("var/log/wtmp", "binary", "log: /var/log/wtmp"),
    ("var/log/lastlog", "binary", "log: /var/log/lastlog"),
    ("var/cache/apt/pkgcache.bin", "x", "cache: /var/cache/apt/pkgcache.bin"),
    ("var/cache/ldconfig/aux-cache", "x", "cache: /var/cache/ldconfig/aux-cache"),
]
# What live-build itself has to have taken away: found, and left for a person to look at.
FOREIGN = [
    ("etc/apt/apt.conf.d/00secure", "x", "apt setting of the build: /etc/apt/apt.conf.d/00secure"),
    ("etc/apt/apt.conf.d/00pipeline", "x", "apt setting of the build: /etc/apt/apt.conf.d/00pipeline"),
    ("etc/apt/apt.conf.d/99mmdebstrap", "x", "apt setting of the build: /etc/apt/apt.conf.d/99mmdebstrap"),
    ("etc/apt/apt.conf", "x", "apt setting of the build: /etc/apt/apt.conf"),
    ("etc/apt/apt.conf.d/50mine", 'acquire::HTTP::Proxy "http://10.0.0.1:3142";\n', "proxy setting of the build"),
    ("etc/dpkg/dpkg.cfg.d/live-build", "x", "dpkg setting of the build: /etc/dpkg/dpkg.cfg.d/live-build"),
    ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "x", "dpkg setting of the build: /etc/dpkg/dpkg.cfg.d/99mmdebstrap"),
    ("var/cache/apt/archives/vim_1_amd64.deb", "x", "cache: /var/cache/apt/archives/vim_1_amd64.deb"),
    ("var/lib/apt/lists/deb_InRelease", "x", "cache: /var/lib/apt/lists/deb_InRelease"),
    ("proc/version", "Linux", "left mounted or copied: chroot/proc/version"),
    ("sys/kernel/x", "1", "left mounted or copied: chroot/sys/kernel"),
    ("dev/pts/ptmx", "", "left mounted or copied: chroot/dev/pts/ptmx"),
    ("boot/initrd.img-6.1", "", "never made: /boot/initrd.img-6.1"),
    ("usr/sbin/start-stop-daemon.distrib", "x", "diverted: /usr/sbin/start-stop-daemon.distrib"),
    ("usr/bin/hostname.distrib", "x", "diverted: /usr/bin/hostname.distrib"),
    ("bin/hostname.distrib", "x", "diverted: /bin/hostname.distrib"),
    ("live-build/config/x", "x", "working file of live-build: /live-build"),
    ("packages/x.deb", "x", "working file of live-build: /packages"),
    (".live-build/", "", "working file of live-build: /.live-build"),
    ("root/001-kernel.chroot", "x", "working file of live-build: /root/001-kernel.chroot"),
    ("root/001-early.chroot_early", "x", "working file of live-build: /root/001-early.chroot_early"),
]


def test_a_clean_root_is_clean_and_is_said_to_be(shell: Shell) -> None:
    assert shell("check_root") == (0, "I: root is clean\n")


@pytest.mark.parametrize(("path", "text", "finding"), DIRT + FOREIGN)
def test_each_forbidden_thing_is_found(shell: Shell, plant: Plant, path: str, text: str, finding: str) -> None:
    plant({f"chroot/{path}": text})
    status, said = shell("check_root")
    assert status == 90
    findings, last = said.splitlines()[:-1], said.splitlines()[-1]
    assert len(findings) in (1, 2), "no other thing is blamed"
    assert findings[0].startswith(f"E: root is not clean: {finding}")
    assert last == f"E: the finished root holds what no image may hold ({len(findings)} findings)"


def test_all_findings_are_said_at_once(shell: Shell, plant: Plant) -> None:
    dirt = {f"chroot/{path}": text for path, text, _ in FOREIGN}
    plant(dirt)
    status, said = shell("check_root")
    assert status == 90
    for _, _, finding in FOREIGN:
        assert finding in said
    assert f"({len(FOREIGN)} findings)" in said


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


def test_a_dirty_root_is_made_clean(shell: Shell, plant: Plant, work: Path) -> None:
    plant({f"chroot/{path}": text for path, text, _ in DIRT})
    gone = {
        "root/.bash_history", "root/.wget-hsts", "root/packages.chroot", "tmp/deep/file", "var/tmp/.hidden",
        "run/x.pid",
        "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/cache/debconf/config.dat-old",
        "var/lib/dpkg/status-old", "var/lib/ucf/hashfile.0", "etc/ssh/ssh_host_rsa_key.pub",
    }  # fmt: skip
    kept = {"root/.bashrc", "var/log/README", "var/log/btmp", "var/cache/debconf/config.dat", "etc/ssh/sshd_config"}
    plant({f"chroot/{path}": "x" for path in gone | kept})
    shutil.copytree(work / "chroot", work / "before", symlinks=True)
    assert shell("clean_root\ncheck_root") == (0, "I: root is clean\n")
    left = files(work / "chroot")
    assert not gone & left
    assert kept <= left
    assert files(work / "before") - left >= gone
    root = work / "chroot"
    assert (root / "etc/hostname").read_text() == "debian\n"
    assert "127.0.1.1\tdebian\n" in (root / "etc/hosts").read_text()
    assert (root / "etc/machine-id").read_bytes() == b"", "there, so that systemd takes it for a first boot"
    assert (root / "var/log/btmp").read_bytes() == b""
    assert (root / "tmp").is_dir()


def test_cleaning_twice_is_cleaning_once(shell: Shell, work: Path) -> None:
    assert shell("clean_root\ncheck_root")[0] == 0
    once = {name: (work / "chroot" / name).read_bytes() for name in files(work / "chroot")}
    assert shell("clean_root\ncheck_root")[0] == 0
    assert {name: (work / "chroot" / name).read_bytes() for name in files(work / "chroot")} == once


@pytest.mark.parametrize(
    "folder", ["includes.chroot", "includes.chroot_after_packages", "includes.chroot_before_packages"]
)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/hostname", "buildd-7\n"),
        ("etc/hosts", "127.0.0.1 localhost\n10.0.0.1 ours\n"),
        ("etc/resolv.conf", "nameserver 192.0.2.1\n"),
        ("usr/sbin/policy-rc.d", "#!/bin/sh\n"),
        ("etc/apt/apt.conf.d/00recommends", "x"),
        ("etc/apt/apt.conf.d/50proxy", 'Acquire::http::Proxy "http://ours";\n'),
        ("etc/apt/apt.conf", "x"),
    ],
)
def test_what_the_project_brings_itself_stays(
    shell: Shell, plant: Plant, work: Path, folder: str, name: str, text: str
) -> None:
    plant({f"config/{folder}/{name}": text, f"chroot/{name}": text})
    assert shell("clean_root\ncheck_root") == (0, "I: root is clean\n")
    assert (work / "chroot" / name).read_text() == text


def test_links_of_systemd_stay(shell: Shell, plant: Plant, work: Path) -> None:
    links = {"etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf", "var/lib/dbus/machine-id": "/etc/machine-id"}
    plant({f"chroot/{name}": f"-> {to}" for name, to in links.items()})
    assert shell("clean_root\ncheck_root")[0] == 0
    assert {name: str((work / "chroot" / name).readlink()) for name in links} == links


def test_indices_stay_where_they_were_asked_for(shell: Shell, plant: Plant) -> None:
    plant({"chroot/var/lib/apt/lists/deb_InRelease": "x", "chroot/var/lib/apt/lists/lock": ""})
    assert shell("check_root")[0] == 90
    assert shell("check_root", IMAGE_APT_INDICES="true")[0] == 0


def test_a_machine_id_that_says_it_is_none_is_none(shell: Shell, plant: Plant) -> None:
    plant({"chroot/etc/machine-id": "uninitialized\n"})
    assert shell("check_root")[0] == 0


def test_a_builder_called_as_the_image_is_no_finding(shell: Shell) -> None:
    assert shell("check_root", BUILDER_HOSTNAME="debian")[0] == 0


def test_logs_that_are_links_or_empty_are_none(shell: Shell, plant: Plant) -> None:
    plant({"chroot/var/log/empty.log": "", "chroot/var/log/link": "-> ../lib/dpkg/status"})
    assert shell("check_root")[0] == 0


@pytest.mark.parametrize("root", ["chroot", "chroot/chroot", "binary"])
def test_plain_live_build_cleans_the_finished_root_by_a_hook(work: Path, plant: Plant, root: str) -> None:
    (work / "chroot").rename(work / "finished")
    (work / root).parent.mkdir(exist_ok=True)
    (work / "finished").rename(work / root)
    plant({f"{root}/{path}": text for path, text, _ in DIRT})
    hook = work / "config/hooks/normal/000-clean-root.binary"
    plant({"binary/": "", "config/hooks/normal/": "", "chroot/usr/sbin/of-the-outer-root": "x"})
    hook.write_text(plain_clean_hook("debian"))
    run = ["sh", f"../{hook.relative_to(work)}"]
    done = subprocess.run(run, cwd=work / "binary", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "I: root is clean\n"), done.stderr
    assert (work / root / "etc/hostname").read_text() == "debian\n"
    assert (work / "chroot/usr/sbin/of-the-outer-root").exists()
    plant({f"{root}/var/lib/apt/lists/deb_InRelease": "x"})
    indices = {**os.environ, "LB_APT_INDICES": "true"}  # live-build hands its settings to binary hooks
    done = subprocess.run(run, cwd=work / "binary", capture_output=True, text=True, check=False, env=indices)
    assert done.returncode == 0, "lists that were asked for stay"
    done = subprocess.run(run, cwd=work / "binary", capture_output=True, text=True, check=False)
    assert done.returncode == 90
    assert "cache: /var/lib/apt/lists/deb_InRelease" in done.stdout
