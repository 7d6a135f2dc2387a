"""The images that are shipped: built together from the real archive, then run and booted."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from building import SHIPPED, Project, built

from image_builder.boot.check import check_boot
from image_builder.run import run

pytestmark = pytest.mark.root
GIB = 1 << 30


def test_what_targets_have_in_common_is_done_once(shipped: Project) -> None:
    names = built(shipped.record())
    assert [n.split()[0] for n in names].count("base") == 1
    # roots: plain, Incus's, the disk's, Azure's, Compute Engine's, the appliance's, Vagrant's, the live one
    assert names.count("finish") == 8
    assert names.count("binary base/disk-image.binary") == 5
    assert names.count("chroot base/disk-packages.chroot") == names.count("chroot base/vm-packages.chroot") == 1
    assert names.count("image iso-hybrid") == names.count("pack iso-hybrid") == 1


def test_record_holds_what_its_schema_says(shipped: Project) -> None:
    schema = json.loads(files("image_builder.build").joinpath("record.schema.json").read_text())
    record = shipped.record()
    jsonschema.validate(record, schema)
    assert [t["name"] for t in record["targets"]] == list(SHIPPED)
    assert all(t["status"] == "done" and t["artefacts"] for t in record["targets"])


def test_folder_is_whole(shipped: Project) -> None:
    folder = shipped.artefact(".")
    run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder)
    for target in SHIPPED:
        assert "base-files\t" in (folder / f"{target}.manifest").read_text()
        assert "./etc/apt:" in (folder / f"{target}.files").read_text()


@pytest.mark.parametrize(
    ("name", "unpack"),
    [
        ("livecd.debian.squashfs", ["unsquashfs", "-quiet", "-no-progress", "-dest"]),
        ("livecd.debian.rootfs.tar.xz", ["tar", "--numeric-owner", "-xf"]),
        ("livecd.debian.wsl", ["tar", "--numeric-owner", "-xf"]),
    ],
)
def test_roots_run_a_command(shipped: Project, tmp_path: Path, name: str, unpack: list[str]) -> None:
    root = tmp_path / "root"
    if unpack[0] == "tar":
        root.mkdir()
        run([*unpack, shipped.artefact(name), "-C", root])
    else:
        run([*unpack, root, shipped.artefact(name)])
    assert "trixie" in run(["chroot", root, "/bin/sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME"])
    assert run(["chroot", root, "/usr/bin/dpkg", "--audit"]) == ""
    assert (root / "etc/hostname").read_text() == "debian\n"


def test_vmdk_is_one(shipped: Project) -> None:
    image = shipped.artefact("livecd.debian.vmdk")
    said = json.loads(run(["qemu-img", "info", "--output=json", image]))
    assert said["format"] == "vmdk"
    assert said["format-specific"]["data"]["create-type"] == "streamOptimized"
    # vmdk has no consistency check of its own in qemu-img; comparing with the qcow2 reads every block of it
    run(["qemu-img", "compare", image, shipped.artefact("livecd.debian.qcow2")])


def test_qcow2_boots_by_bios_on_a_larger_disk(shipped: Project, tmp_path: Path) -> None:
    result = check_boot(
        shipped.artefact("livecd.debian.qcow2"),
        disk_size=8 * GIB,
        login=("root", "secret"),
        set_password=True,
        commands=["df --output=size -BG / | tail -n 1", "systemctl is-system-running --wait || systemctl --failed"],
        log=tmp_path / "console",
    )
    assert result.success, result.reason
    size, state = (o.text for o in result.outputs)
    assert 6 <= int(size.strip().rstrip("G")) <= 8
    assert "running" in state


def test_qcow2_boots_by_uefi(shipped: Project) -> None:
    result = check_boot(shipped.artefact("livecd.debian.qcow2"), firmware="uefi")
    assert result.success, result.reason


def test_iso_boots_by_bios(shipped: Project) -> None:
    result = check_boot(shipped.artefact("livecd.debian.iso"))
    assert result.success, result.reason


def test_nothing_changed_means_nothing_done(shipped: Project) -> None:
    before = sorted((shipped.folder / "builds").iterdir())
    said = shipped.run("build", *SHIPPED).stderr
    assert "nothing to do" in said
    assert sorted((shipped.folder / "builds").iterdir()) == before


def test_dry_run_says_why(shipped: Project) -> None:
    plan = shipped.run("build", "--dry-run", "squashfs").stdout
    assert "base trixie amd64: reuse (stored as " in plan
    assert "-> squashfs" in plan


@pytest.mark.full
@pytest.mark.parametrize("name", ["livecd.debian.qcow2", "livecd.debian.iso"])
def test_boots_with_secure_boot(shipped: Project, name: str) -> None:
    result = check_boot(shipped.artefact(name), firmware="secure-boot")
    assert result.success, result.reason


@pytest.mark.full
def test_iso_boots_by_uefi(shipped: Project) -> None:
    result = check_boot(shipped.artefact("livecd.debian.iso"), firmware="uefi")
    assert result.success, result.reason


@pytest.mark.full
def test_bookworm(shipped: Project, tmp_path: Path) -> None:
    (tmp_path / "image-builder.yaml").write_text(
        (shipped.folder / "image-builder.yaml").read_text() + "suite: bookworm\n"
    )
    (tmp_path / "hooks.d").symlink_to((shipped.folder / "hooks.d").resolve())
    project = Project(tmp_path, shipped.store)
    project.build("squashfs", "qcow2", "iso")
    for name, firmware in (("qcow2", "bios"), ("qcow2", "uefi"), ("iso", "bios")):
        result = check_boot(project.artefact(f"livecd.debian.{name}"), firmware=firmware)  # type: ignore[arg-type]
        assert result.success, f"{name} {firmware}: {result.reason}"


def test_no_process_of_a_boot_is_left() -> None:
    ours = [c for c in Path("/proc").glob("[0-9]*/cmdline") if b"livecd.debian." in _text(c)]
    assert [c for c in ours if b"qemu-system" in _text(c)] == []


def _text(cmdline: Path) -> bytes:
    try:
        return cmdline.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
