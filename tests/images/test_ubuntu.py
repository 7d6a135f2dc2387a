"""Images of an archive of Ubuntu's shape, with a project's tree and PPAs. See tests/support/ubuntu_archive.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from building import CONFIG, Project, built
from local_archive import Key
from ubuntu_archive import CALLED, Launchpad, UbuntuArchive, make_deb, served, ubuntus_shim

from image_builder.apt.fetch import prefetch
from image_builder.apt.solve import solve_base, solve_packages
from image_builder.boot.check import check_boot
from image_builder.boot.firmware import FirmwareKind
from image_builder.build.archive import Archive
from image_builder.config import BuildConfig
from image_builder.distributions import UBUNTU
from image_builder.layers import Store
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import Lock
from image_builder.run import run

pytestmark = pytest.mark.root
DATE = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NEWEST = {"": "1", "-updates": "2", "-security": "3", "-proposed": "4"}


@dataclass
class Site:
    """An archive, Launchpad, and where both are."""

    archive: UbuntuArchive
    launchpad: Launchpad
    mirror: str
    servers: str


def from_debian(store: Path, locked: Path, pool: Path, *names: str) -> None:
    """Put what Debian's minimal system and these packages are made of into a pool, from the store of the others."""
    config, lock = BuildConfig(), Lock.read(locked)
    assert lock is not None
    with Store(store) as opened:
        tools = next(ToolRoot(layer.diff, "", "") for layer in opened.list() if layer.meta.get("kind") == "tool-root")
        archive = Archive(opened, config, pool / "no config", tools)
        archive.pinned(locked, update=False)
        base = solve_base(archive.context(), config.suite)
        packages = [*base.packages]
        if names:
            packages += solve_packages(archive.context(), base, names, recommends=False, upgrade=False).packages
        prefetch(packages, archive.blobs, addresses=archive.addresses)
        for package in packages:
            shutil.copyfile(archive.blobs.path(package.sha256), pool / package.deb.replace("%3a", ":"))


@pytest.fixture(scope="module")
def site(store: Path, locked: Path, key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ubuntu")
    archive = UbuntuArchive(folder / "archive", key)
    from_debian(store, locked, archive.pool())
    archive.keyring_package()
    for pocket, version in NEWEST.items():
        make_deb(archive.pool(pocket), "greeter", version)
        # Part of every system, so it is a matter of the base already
        make_deb(archive.pool(pocket), "tiny-required", version, Priority="required")
        make_deb(archive.pool(pocket), "trial", version)
    make_deb(archive.pool("-updates"), "only-updated", "2")
    make_deb(archive.pool("", "universe"), "of-universe", "1")
    archive.publish(DATE)

    ppa = UbuntuArchive(
        folder / "launchpad/ppa/me/tools/ubuntu", Key("Launchpad PPA for me"), origin="LP-PPA-me-tools",
        components=("main",), pockets=("",),
    )  # fmt: skip
    make_deb(ppa.pool(), "from-ppa", "1")
    make_deb(ppa.pool(), "greeter", "0.1")
    ppa.publish(DATE)
    launchpad = Launchpad(folder / "launchpad")
    launchpad.fingerprints["me/tools"] = ppa.key.fingerprint
    launchpad.keys[ppa.key.fingerprint] = ppa.key.armoured.read_bytes()
    try:
        with served(archive) as mirror, served(launchpad) as servers:
            yield Site(archive, launchpad, mirror, servers)
    finally:
        ppa.key.close()


@pytest.fixture
def ubuntu(site: Site, store: Path, key: Key, tmp_path: Path) -> Callable[..., Project]:
    """Makes projects of SUITE=noble. further: lines of their configuration."""

    def make(further: str = "", **environment: str) -> Project:
        project = Project(tmp_path, store, {"SUITE": "noble", **environment})
        (tmp_path / "image-builder.yaml").write_text(
            f"mirror: {site.mirror}\nsecurity_mirror: {site.mirror}\nkeyring: {key.keyring}\n"
            f"launchpad: {site.servers}/devel\nkeyserver: {site.servers}\nppa_mirror: {site.servers}/ppa\n"
            + next(line for line in CONFIG.splitlines() if "environment:" in line).strip()
            + f"\n{further}"
        )
        return project

    return make


def packages(project: Project, target: str) -> dict[str, str]:
    """Name -> version of what is installed, by the manifest."""
    lines = project.artefact(f"{target}.manifest").read_text().splitlines()
    return dict(line.split()[:2] for line in lines)


def sources(root: Path) -> list[str]:
    found = [root / "etc/apt/sources.list", *sorted((root / "etc/apt/sources.list.d").glob("*"))]
    return [line for path in found for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_noble_with_its_pockets(ubuntu: Callable[..., Project], site: Site) -> None:
    project = ubuntu("packages: [greeter, only-updated, of-universe, trial]\n")
    record = project.build("root-dir", "tarball")
    root = project.artefact("livecd.ubuntu.root-dir")
    newest = {name: version for name, version in packages(project, "root-dir").items() if name in
              ("greeter", "tiny-required", "only-updated", "of-universe", "trial", "ubuntu-keyring")}  # fmt: skip
    assert newest == {
        "greeter": "3", "tiny-required": "3", "only-updated": "2", "of-universe": "1", "trial": "3",
        "ubuntu-keyring": "2023.11.28.1",
    }, "security is newer than updates, which is newer than the release; proposed counts for nothing"  # fmt: skip
    assert sources(root) == [
        f"deb {site.mirror} noble main universe",
        f"deb {site.mirror} noble-security main universe",
        f"deb {site.mirror} noble-updates main universe",
    ]
    assert (root / "etc/hostname").read_text() == "ubuntu\n"
    pins = {pin["suite"]: pin["codename"] for pin in record["lock"]["archives"]}
    assert pins == {"noble": "noble", "noble-updates": "noble", "noble-security": "noble"}
    assert any("/by-hash/SHA256/" in path for path in site.archive.asked)
    assert not any("noble-proposed" in path for path in site.archive.asked)
    assert project.artefact("livecd.ubuntu.rootfs.tar.xz").stat().st_size > 1 << 20


@pytest.mark.full
def test_proposed_is_there_for_who_asks_for_it(ubuntu: Callable[..., Project], site: Site) -> None:
    project = ubuntu("packages: [greeter, trial/noble-proposed]\n", PROPOSED="1")
    project.build("root-dir")
    found = packages(project, "root-dir")
    assert (found["greeter"], found["trial"], found["tiny-required"]) == ("3", "4", "3"), "NotAutomatic: priority 100"
    root = project.artefact("livecd.ubuntu.root-dir")
    assert f"deb {site.mirror} noble-proposed main universe" in sources(root)

    # and wins where the project says so
    (project.folder / "image-builder.yaml").write_text(
        (project.folder / "image-builder.yaml").read_text() + "proposed_priority: 500\n"
    )
    record = project.build("root-dir")
    found = packages(project, "root-dir")
    assert (found["greeter"], found["trial"], found["tiny-required"]) == ("4", "4", "4")
    assert "base noble amd64" not in built(record), "the base system has nothing to do with it"
    pref = (project.artefact("livecd.ubuntu.root-dir") / "etc/apt/preferences.d/proposed.pref").read_text()
    assert pref == "Package: *\nPin: release a=noble-proposed\nPin-Priority: 500\n"


@pytest.mark.full
def test_a_projects_tree_and_a_ppa(ubuntu: Callable[..., Project], site: Site) -> None:
    project = ubuntu("hook_inputs: all\n", PROJECT="my-cpc", SUBPROJECT="minimized", SUBARCH="raspi",
                     EXTRA_PPAS="me/tools:1001")  # fmt: skip
    tree = project.folder / "live-build/my-cpc"
    for path, text in {
        "package-lists/cloud.list.chroot_install": "from-ppa\ngreeter\n",
        "includes.chroot/etc/issue.net": "a my-cpc image\n",
        "hooks/021-see.chroot": 'echo "$PROJECT/$SUBPROJECT/$SUBARCH" >/etc/seen',
        "hooks.d/chroot/001-early.chroot_early": "dpkg-query -W from-ppa 2>/dev/null || echo no >/etc/early",
        "hooks.d/base/pack.binary": "tar -C chroot -cf livecd.$PROJECT.etc.tar ./etc ./var/lib/dpkg",
        "hooks.d/base/series/etc": "base/pack.binary\nprovides livecd.my-cpc.etc.tar\n",
        "hooks.d/base/series/all": "depends etc\n",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"#!/bin/sh\nset -eu\n{text}\n" if "hooks" in path and "series" not in path else text)
        (tree / path).chmod(0o755)
    record = project.build()
    root = project.folder / "root"
    root.mkdir()
    run(["tar", "-C", root, "-xf", project.artefact("livecd.my-cpc.etc.tar")])
    assert (root / "etc/issue.net").read_text() == "a my-cpc image\n"
    assert (root / "etc/seen").read_text() == "my-cpc/minimized/raspi\n"
    assert (root / "etc/early").read_text() == "no\n", "before the package lists"
    found = packages(project, "etc")
    assert (found["from-ppa"], found["greeter"]) == ("1", "0.1"), "the pin wins over a newer version"
    assert f"deb {site.servers}/ppa/me/tools/ubuntu noble main" in sources(root)
    keys = root / "etc/apt/trusted.gpg.d"
    assert any(p.name.startswith("extra-ppas.key") for p in keys.iterdir())
    assert "Pin: release o=LP-PPA-me-tools" in (root / "etc/apt/preferences.d/extra-ppas.pref").read_text()
    (fingerprint,) = site.launchpad.fingerprints.values()
    assert fingerprint in {pin["signer"] for pin in record["lock"]["archives"]}
    assert not (project.folder / "config").exists(), "nothing is written into the project"

    # With its lock, nobody is asked any more; what is read by one step alone changes that step and those after it
    before = len(site.launchpad.asked)
    again = project.run("plan").stdout
    assert ": build (" not in again
    assert not any(path.startswith(("/devel", "/pks")) for path in site.launchpad.asked[before:])
    (tree / "includes.chroot/etc/issue.net").write_text("changed\n")
    plan = project.run("plan").stdout.splitlines()
    assert [line.strip().split(":")[0].split(" (")[0] for line in plan if ": reuse (" in line] == [
        "base noble amd64", "archives and preseed", "chroot_early chroot/001-early.chroot_early",
    ]  # fmt: skip


def test_what_knows_debians_packages_alone_is_refused_before_anything_is_built(ubuntu: Callable[..., Project]) -> None:
    project = ubuntu()
    header = "# packages: reportbug\n# distributions: debian\n"
    project.hook("base/theirs.chroot", "apt-get install reportbug", header=header)
    for name in ("one", "two"):
        project.series(name, f"# {name}\nbase/theirs.chroot\n")
    said = project.run("build", "one", "two", status=2).stderr
    assert "targets one, two: cannot be made of noble, which is ubuntu:" in said
    assert "base/theirs.chroot installs packages of debian" in said
    assert not (project.folder / "builds").exists()


# What disks and live media have above a plain root, by Debian's names; what is called otherwise is in CALLED.
ABOVE = (
    *CALLED.values(), "initramfs-tools", "zstd", "grub-pc", "grub-efi-amd64-bin", "grub-efi-amd64-signed",
    "shim-signed", "cloud-init", "cloud-guest-utils", "e2fsprogs", "openssh-server", "systemd-resolved",
    "systemd-timesyncd", "live-boot", "live-config", "live-config-systemd", "sudo", "user-setup", "open-vm-tools",
    "rsync", "google-guest-agent", "google-compute-engine-oslogin", "systemd-sysv", "dbus", "udev", "iproute2",
    "netbase",
)  # fmt: skip


@pytest.fixture(scope="module")
def _machines(site: Site, store: Path, locked: Path) -> None:
    """The archive, with what virtual machines and live systems are made of."""
    pool = site.archive.pool()
    from_debian(store, locked, pool, *ABOVE)
    ubuntus_shim(pool)
    for name, debians in CALLED.items():
        make_deb(pool, name, "6.8.0.1", Depends=debians)
    make_deb(pool, "walinuxagent", "2.9.1")  # Debian's of another name must not be installed with one of this name
    site.archive.publish(DATE + timedelta(hours=1))


@pytest.mark.full
@pytest.mark.usefixtures("_machines")
def test_disks_and_live_media(ubuntu: Callable[..., Project], tmp_path: Path) -> None:
    project = ubuntu("packages: [systemd-sysv, dbus, udev, iproute2, netbase]\n")
    plan = project.run("plan", "all").stdout
    assert "-> netboot" in plan, "every target's packages are there by Ubuntu's names"
    project.build("qcow2", "iso")
    installed = packages(project, "qcow2")
    assert installed["shim-signed"] == "1.58+15.8-0ubuntu2"
    boot = UBUNTU.packages("noble", "amd64")["PACKAGES_DISK_BOOT"].split(",")
    assert {"linux-image-virtual", *boot} <= set(installed)
    assert "grub-cloud-amd64" not in installed
    assert {"linux-image-generic", "live-boot", "shim-signed"} <= set(packages(project, "iso"))

    ways: list[tuple[str, FirmwareKind]] = [("qcow2", "bios"), ("qcow2", "secure-boot"), ("iso", "secure-boot")]
    for image, firmware in ways:
        result = check_boot(
            project.artefact(f"livecd.ubuntu.{image}"), firmware=firmware, timeout_s=600.0, log=tmp_path / "console"
        )
        assert result.success, f"{image} by {firmware}: {result.reason}\n{result.last_lines()}"
