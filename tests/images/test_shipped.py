"""The images that are shipped: built together from the real archive, and run; test_boots.py boots them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from building import QUICK, SHIPPED, Project

from image_builder.run import run

pytestmark = pytest.mark.root


def steps(project: Project) -> list[str]:
    """Names of the layers of its last build."""
    return [layer["name"] for layer in project.record()["layers"]]


def test_what_targets_have_in_common_is_done_once(shipped: Project) -> None:
    names = steps(shipped)
    assert [n.split()[0] for n in names].count("base") == 1
    assert names.count("finish") == 3, "roots: plain, the disk's, the live one"
    assert names.count("binary base/disk-image.binary") == names.count("chroot base/disk-packages.chroot") == 1
    assert names.count("image iso-hybrid") == names.count("pack iso-hybrid") == 1


@pytest.mark.full
def test_what_all_have_in_common_is_done_once(formats: Project) -> None:
    names = steps(formats)
    assert [n.split()[0] for n in names].count("base") == 1
    # roots: plain, Incus's, the disk's, Azure's, Compute Engine's, the appliance's, Vagrant's, the live one
    assert names.count("finish") == 8
    assert names.count("binary base/disk-image.binary") == 5
    assert names.count("chroot base/disk-packages.chroot") == names.count("chroot base/vm-packages.chroot") == 1
    assert names.count("image iso-hybrid") == names.count("pack iso-hybrid") == 1


def holds_together(project: Project, targets: tuple[str, ...]) -> None:
    """The folder is whole: the record as published, every sum right, a manifest and a file list for each target."""
    record = project.record()
    jsonschema.validate(record, json.loads(files("image_builder.build").joinpath("record.schema.json").read_text()))
    assert [t["name"] for t in record["targets"]] == list(targets)
    assert all(t["status"] == "done" and t["artefacts"] for t in record["targets"])
    folder = project.artefact(".")
    run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder)
    for target in targets:
        assert "base-files\t" in (folder / f"{target}.manifest").read_text()
        assert "./etc/apt:" in (folder / f"{target}.files").read_text()


def test_folder_is_whole(shipped: Project) -> None:
    holds_together(shipped, QUICK)


@pytest.mark.full
def test_folder_of_all_is_whole(formats: Project) -> None:
    holds_together(formats, SHIPPED)


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


def test_nothing_changed_means_nothing_done(shipped: Project) -> None:
    before = sorted((shipped.folder / "builds").iterdir())
    said = shipped.run("build", *QUICK).stderr
    assert "nothing to do" in said
    assert sorted((shipped.folder / "builds").iterdir()) == before


def test_dry_run_says_why(shipped: Project) -> None:
    plan = shipped.run("build", "--dry-run", "squashfs").stdout
    assert "base trixie amd64: reuse (stored as " in plan
    assert "-> squashfs" in plan
