"""The functions known from livecd-rootfs, run by bash with the real programs; what mounts is in tests/root."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[2] / "hooks.d"
MIB = 1 << 20
PAGE = HOOKS.parent / "docs/from-livecd-rootfs.md"

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a line of bash in a tree with a root, as a .binary hook does after its first lines."""
    (tmp_path / "chroot/etc").mkdir(parents=True)

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        lib = "; ".join(f". {HOOKS}/lib/{name}.sh" for name in ("common", "disk", "functions"))
        given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARCH": "amd64", "SUITE": "trixie"}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{lib}; {line}", "test.binary"], cwd=tmp_path, text=True, check=False,
            env={**given, "SOURCE_DATE_EPOCH": "1700000000", "DPKG_FORCE": "not-root", **environment},
            capture_output=True,
        )  # fmt: skip

    return run


def install(root: Path, *packages: str) -> None:
    """Put empty packages into a root by dpkg. "a:b" depends on b."""
    (root / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    debs = []
    for package in packages:
        name, _, needs = package.partition(":")
        made = root.parent / f"deb-{name}"
        (made / "DEBIAN").mkdir(parents=True)
        (made / f"usr/share/{name}").mkdir(parents=True)
        (made / f"usr/share/{name}/file").write_text(name)
        control = f"Package: {name}\nVersion: 1.0-1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
        (made / "DEBIAN/control").write_text(control + (f"Depends: {needs}\n" if needs else ""))
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", made, f"{made}.deb"], check=True, capture_output=True
        )
        debs.append(f"{made}.deb")
    command = ["dpkg", "--force-not-root", "--log=/dev/null", f"--root={root}", "--install", *debs]
    subprocess.run(command, check=True, capture_output=True)


def test_an_empty_disk_image_is_sparse(shell: Shell, tmp_path: Path) -> None:
    assert shell("create_empty_disk_image disk").returncode == 0
    assert (tmp_path / "disk").stat().st_size == 2_361_393_152
    shell("create_empty_disk_image disk", IMAGE_SIZE=str(8 * MIB))
    assert (tmp_path / "disk").stat().st_size == 8 * MIB
    assert (tmp_path / "disk").stat().st_blocks == 0


@pytest.mark.parametrize(("kind", "name"), [("disk", "livecd.debian.img"), ("uefi", "livecd.debian.uefi.img")])
def test_a_derivative_is_a_copy_under_a_name_that_is_not_handed_out(
    shell: Shell, tmp_path: Path, kind: str, name: str
) -> None:
    (tmp_path / name).write_bytes(b"x" * 4096)
    said = shell(f"create_derivative {kind} small; sh -c 'echo $derivative_img'")
    assert said.stdout == "disk-small.img\n"
    assert (tmp_path / "disk-small.img").read_bytes() == b"x" * 4096
    (tmp_path / name).unlink()
    assert f"no {name} to copy" in shell(f"create_derivative {kind} small").stderr


def test_a_manifest_has_packages_snaps_and_files(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "chroot"
    install(root, "zeta", "alpha")
    seed = root / "var/lib/snapd/seed"
    seed.mkdir(parents=True)
    # written by image-builder, and as livecd-rootfs writes it
    (seed / "seed.yaml").write_text(
        "snaps:\n- name: core22\n  channel: latest/stable\n  file: core22_1122.snap\n"
        "  -\n    name: lxd\n    channel: 5.21/stable\n    classic: true\n    file: lxd_x_3.snap\n"
    )
    assert shell("create_manifest chroot out.manifest").returncode == 0
    assert (tmp_path / "out.manifest").read_text() == (
        "alpha\t1.0-1\nzeta\t1.0-1\nsnap:core22\tlatest/stable\t1122\nsnap:lxd\t5.21/stable\t3\n"
    )
    files = (tmp_path / "out.filelist").read_text().splitlines()
    assert "./usr/share/zeta/file" in files
    assert files == sorted(files)
    shell("create_manifest chroot packages.txt")
    assert not (tmp_path / "packages.txt.filelist").exists()


def test_conversions_can_be_read_back_and_give_the_same_bytes_again(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(os.urandom(MIB) + bytes(3 * MIB))
    assert shell("echo 'label: gpt' | sfdisk --quiet disk").returncode == 0
    line = "mkdir {0}; convert_to_qcow2 disk {0}/x.qcow2; create_vmdk disk {0}/x.vmdk 8"  # vmdk has its own name in it
    for name in ("a", "b"):
        assert shell(line.format(name)).returncode == 0
    for form, size in (("qcow2", 4 * MIB), ("vmdk", 8 * MIB)):
        first, second = tmp_path / f"a/x.{form}", tmp_path / f"b/x.{form}"
        assert first.read_bytes() == second.read_bytes()
        command = ["qemu-img", "info", "--output=json", first]
        said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert (said["format"], said["virtual-size"]) == (form, size)
    raw = tmp_path / "back"
    subprocess.run(["qemu-img", "convert", "-O", "raw", tmp_path / "a/x.vmdk", raw], check=True)
    grown = raw.read_bytes()
    assert grown[:MIB][512 * 34 :] == (tmp_path / "disk").read_bytes()[:MIB][512 * 34 :]
    assert grown[-512:][:8] == b"EFI PART"  # the table's copy is at the new end
    assert not [p for p in tmp_path.rglob("x.*") if p.suffix not in {".qcow2", ".vmdk"}]


def test_grub_is_diverted_and_given_back(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "chroot"
    install(root, "grub")
    prober, detect = root / "etc/grub.d/30_os-prober", root / "usr/bin/systemd-detect-virt"
    for path in (prober, detect):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
    said = shell("divert_grub chroot")
    assert said.returncode == 0, said.stderr
    assert not prober.exists()
    assert subprocess.run([detect], check=False).returncode == 1
    assert shell("undivert_grub chroot").returncode == 0
    for path in (prober, detect):
        assert subprocess.run([path], check=False).returncode == 0
    assert sorted(p.name for p in (*prober.parent.iterdir(), *detect.parent.iterdir())) == [prober.name, detect.name]
    listed = subprocess.run(["dpkg-divert", f"--root={root}", "--list"], capture_output=True, text=True, check=True)
    assert listed.stdout == ""


def test_the_root_is_named_by_label_unless_booting_by_partition_is_wanted(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "chroot/boot/grub/grub.cfg"
    config.parent.mkdir(parents=True)
    config.write_text("linux /boot/vmlinuz root=UUID=12-34 ro quiet\n")
    shell("replace_grub_root_with_label chroot")
    assert config.read_text() == "linux /boot/vmlinuz root=LABEL=root ro quiet\n"
    shell("replace_grub_root_with_label chroot", FS_LABEL="cloudimg-rootfs")
    assert "root=LABEL=cloudimg-rootfs ro" in config.read_text()
    forced = tmp_path / "chroot/etc/default/grub.d/40-force-partuuid.cfg"
    forced.parent.mkdir(parents=True)
    forced.write_text("GRUB_FORCE_PARTUUID=aa\n")
    shell("replace_grub_root_with_label chroot")
    assert "root=LABEL=cloudimg-rootfs ro" in config.read_text()


def test_packages_go_away_with_what_they_brought(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "chroot"
    install(root, "kept")
    assert shell("remember_packages chroot before").returncode == 0
    install(root, "tool:library", "library")
    said = shell("purge_packages_since chroot before")
    assert said.returncode == 0, said.stderr
    assert (root / "usr/share/kept/file").exists()
    assert not (root / "usr/share/tool").exists()
    assert not (root / "usr/share/library").exists()
    again = shell("purge_packages_since chroot before")
    assert (again.returncode, again.stdout) == (0, "")


def test_a_package_that_another_needs_does_not_go(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "chroot"
    install(root, "tool:library", "library")
    said = shell("purge_packages chroot library never-there")
    assert said.returncode != 0
    assert "tool depends on library" in said.stderr
    assert (root / "usr/share/library/file").exists()
    assert shell("purge_packages chroot library tool never-there").returncode == 0
    assert not (root / "usr/share/library").exists()
    assert shell("purge_packages chroot never-there").returncode == 0


def test_a_chroot_hook_reads_the_functions_alone(tmp_path: Path) -> None:
    line = f"set -eu; . {HOOKS}/lib/functions.sh; create_manifest / {tmp_path}/list; die done"
    said = subprocess.run(["bash", "-c", line, "001-x.chroot"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (1, "001-x.chroot: error: done\n")
    assert "dpkg\t" in (tmp_path / "list").read_text()


def test_an_image_without_the_partition_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(MIB))
    (tmp_path / "root").mkdir()
    said = shell("mount_disk_image disk root")
    assert (said.returncode, "disk has no partition 1" in said.stderr) == (1, True)
    (tmp_path / "root/file").touch()
    assert "root is not empty" in shell("mount_disk_image disk root").stderr
    assert "no disk image is in work" in shell("umount_disk_image root").stderr


def test_a_partition_without_ext4_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    said = shell("truncate -s 8M disk; echo 'label: gpt\nstart=2048' | sfdisk -q disk; mount_disk_image disk root")
    assert (said.returncode, "partition 1 of disk holds no ext4" in said.stderr) == (1, True)


def test_the_page_has_a_line_for_every_function_there_is() -> None:
    text = (HOOKS / "lib/functions.sh").read_text()
    offered = re.sub(r"[\s#]+", " ", text.split("# Offers:")[1].split("\n\n")[0]).replace(",", " ").split()
    defined = re.findall(r"^([a-z_0-9]+)\(\)", text, re.MULTILINE)
    inner = {"place_of", "root_field", "copy_around", "copy_sectors"}
    assert sorted(offered) == sorted(set(defined) - inner)
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert [name for name in offered if not any(f"`{name}" in row for row in rows)] == []
