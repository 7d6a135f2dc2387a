"""The shipped formats read back by the tools of those who take them: hypervisors, clouds, container runtimes."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from building import Project

from image_builder.run import run

pytestmark = pytest.mark.root
ROOT_AT = 64 << 20  # the root's place on a disk
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"


def inside(disk: Path, path: str) -> bytes:
    """A file of the root on a raw disk (or a fixed vhd, which is one with a footer)."""
    found = subprocess.run(
        ["debugfs", "-R", f"cat {path}", f"{disk}?offset={ROOT_AT}"], capture_output=True, check=True
    )
    assert found.stdout, found.stderr.decode()
    return found.stdout


def modules(initrd: bytes) -> set[str]:
    """Names of the kernel modules in an initramfs: cpio archives, one after the other, the last one compressed."""
    found, at = set(), 0
    while at < len(initrd):
        if initrd[at : at + 6] == b"070701":
            fields = [int(initrd[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
            name = initrd[at + 110 : at + 109 + fields[11]].decode()
            if match := re.search(r"([^/]+)\.ko(\.\w+)?$", name):
                found.add(match[1].replace("-", "_"))
            at += (110 + fields[11] + 3) // 4 * 4 + (fields[6] + 3) // 4 * 4
        elif initrd[at] == 0:
            at += 1
        else:
            initrd, at = subprocess.run(["zstd", "-dc"], input=initrd[at:], capture_output=True, check=True).stdout, 0
    return found


def kernel_arguments(disk: Path) -> tuple[str, list[str]]:
    """The kernel's version and words from the menu of the first boot."""
    match = re.search(r"linux /boot/vmlinuz-(\S+) (.*)", inside(disk, "/boot/grub/grub.cfg").decode())
    assert match
    return match[1], match[2].split()


def of_archive(archive: Path, folder: Path, member: str) -> Path:
    run(["tar", "--sparse", "-C", folder, "-xf", archive, member])
    return folder / member


def packages(project: Project, target: str) -> set[str]:
    return {line.split("\t")[0] for line in project.artefact(f"{target}.manifest").read_text().splitlines()}


@pytest.mark.full
def test_disk1_is_the_raw_disk(formats: Project) -> None:
    packed, raw = (formats.artefact(f"livecd.debian.{name}") for name in ("disk1.img.xz", "img"))
    run(["sh", "-c", 'xz -dc "$0" | cmp - "$1"', packed, raw])


def test_the_disk_for_uefi_has_no_other_loader(shipped: Project) -> None:
    table = json.loads(run(["sfdisk", "--json", shipped.artefact("livecd.debian.uefi.img")]))["partitiontable"]
    assert [p["name"] for p in table["partitions"]] == ["root", "esp"]
    with shipped.artefact("livecd.debian.uefi.img").open("rb") as disk:
        assert not any(disk.read(440)), "no code for BIOS"


@pytest.mark.full
def test_azure_finds_what_it_asks_for(formats: Project) -> None:
    image = formats.artefact("livecd.debian.vhd")
    said = json.loads(run(["qemu-img", "info", "--output=json", "-f", "vpc", image]))
    assert said["virtual-size"] == image.stat().st_size - 512
    assert said["virtual-size"] % (1 << 20) == 0
    assert {"waagent", "hyperv-daemons", "cloud-init"} <= packages(formats, "vhd")
    assert b"datasource_list: [Azure, NoCloud, ConfigDrive]" in inside(image, "/etc/cloud/cloud.cfg.d/90-image.cfg")
    assert b"Provisioning.Agent=cloud-init\n" in inside(image, "/etc/waagent.conf")
    kernel, words = kernel_arguments(image)
    assert {"console=ttyS0,115200n8", "earlyprintk=ttyS0,115200"} <= set(words)
    assert not any(word.startswith("rootdelay=") for word in words), "Debian's initramfs would sleep that long"
    initrd = modules(inside(image, f"/boot/initrd.img-{kernel}"))
    assert {"hv_vmbus", "hv_storvsc", "hv_netvsc", "pci_hyperv"} <= initrd


@pytest.mark.full
def test_compute_engine_finds_what_it_asks_for(formats: Project, tmp_path: Path) -> None:
    disk = of_archive(formats.artefact("livecd.debian.gce.tar.gz"), tmp_path, "disk.raw")
    assert disk.stat().st_size % (1 << 30) == 0
    assert "No errors detected" in run(["sfdisk", "--verify", disk])
    assert {"google-guest-agent", "google-compute-engine-oslogin", "cloud-init"} <= packages(formats, "gce")
    assert b"datasource_list: [GCE, NoCloud, ConfigDrive]" in inside(disk, "/etc/cloud/cloud.cfg.d/90-image.cfg")
    assert b"NTP=metadata.google.internal" in inside(disk, "/etc/systemd/timesyncd.conf.d/gce.conf")
    kernel, words = kernel_arguments(disk)
    assert "console=ttyS0,115200n8" in words
    assert {"virtio_scsi", "virtio_net", "gve"} <= modules(inside(disk, f"/boot/initrd.img-{kernel}"))


@pytest.mark.full
def test_the_appliance_is_one(formats: Project, tmp_path: Path) -> None:
    with tarfile.open(formats.artefact("livecd.debian.ova")) as archive:
        description, manifest, disk = archive.getnames()
        archive.extractall(tmp_path)
    sums = "".join(
        f"{line.split('= ')[1]}  {line.split('(')[1].split(')')[0]}\n"
        for line in (tmp_path / manifest).read_text().splitlines()
    )
    (tmp_path / "sums").write_text(sums)
    run(["sha256sum", "--check", "--strict", "sums"], cwd=tmp_path)
    said = json.loads(run(["qemu-img", "info", "--output=json", tmp_path / disk]))
    assert said["format-specific"]["data"]["create-type"] == "streamOptimized"
    (described,) = ET.parse(tmp_path / description).getroot().iter(f"{OVF}Disk")
    assert said["virtual-size"] == int(described.get(f"{OVF}capacity", ""))
    assert {"open-vm-tools", "cloud-init", "linux-image-amd64"} <= packages(formats, "ova")
    raw = tmp_path / "disk.raw"
    run(["qemu-img", "convert", "-O", "raw", tmp_path / disk, raw])
    assert b"[VMware, OVF, NoCloud, ConfigDrive]" in inside(raw, "/etc/cloud/cloud.cfg.d/90-image.cfg")
    kernel, _ = kernel_arguments(raw)
    # controllers and cards of VMware and VirtualBox
    drivers = {"vmw_pvscsi", "mptspi", "ahci", "ata_piix", "vmxnet3", "e1000"}
    assert drivers <= modules(inside(raw, f"/boot/initrd.img-{kernel}"))


@pytest.mark.full
def test_boxes_have_their_disks(formats: Project, tmp_path: Path) -> None:
    libvirt = of_archive(formats.artefact("livecd.debian.libvirt.box"), tmp_path, "box.img")
    run(["qemu-img", "check", libvirt])
    virtualbox = of_archive(formats.artefact("livecd.debian.virtualbox.box"), tmp_path, "box-disk001.vmdk")
    run(["qemu-img", "compare", libvirt, virtualbox])
    size = json.loads(run(["qemu-img", "info", "--output=json", libvirt]))["virtual-size"]
    metadata = json.loads(
        of_archive(formats.artefact("livecd.debian.libvirt.box"), tmp_path, "metadata.json").read_text()
    )
    assert metadata["virtual_size"] * 10**9 >= size
    assert {"sudo", "rsync", "openssh-server"} <= packages(formats, "vagrant")


def test_the_container_image_runs(shipped: Project, tmp_path: Path) -> None:
    archive = shipped.artefact("livecd.debian.oci.tar")
    said = json.loads(run(["skopeo", "inspect", f"oci-archive:{archive}"]))
    assert (said["Architecture"], said["Os"]) == ("amd64", "linux")
    run(["skopeo", "--insecure-policy", "copy", f"oci-archive:{archive}:trixie", f"oci:{tmp_path}/layout:trixie"])
    bundle = tmp_path / "bundle"
    run(["umoci", "unpack", "--image", f"{tmp_path}/layout:trixie", bundle])
    config = json.loads((bundle / "config.json").read_text())
    assert config["process"]["args"] == ["/bin/bash"]
    config["process"]["terminal"] = False
    config["process"]["args"] += ["-c", ". /etc/os-release; echo $VERSION_CODENAME $(id -u) $(dpkg --audit | wc -l)"]
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"image-builder-test-{tmp_path.name}"
    assert run(["runc", "--root", tmp_path / "runc", "run", "--bundle", bundle, name]) == "trixie 0 0\n"


@pytest.mark.full
def test_incus_images_hold_the_same_root(formats: Project, tmp_path: Path) -> None:
    with tarfile.open(formats.artefact("livecd.debian.incus.tar.xz")) as archive:
        metadata = yaml.safe_load(archive.extractfile("metadata.yaml"))  # type: ignore[arg-type]
    assert {"architecture", "creation_date"} <= set(metadata), "the two fields that must be there"
    split, unified = tmp_path / "split", tmp_path / "unified"
    unified.mkdir()
    run(["unsquashfs", "-quiet", "-no-progress", "-dest", split, formats.artefact("livecd.debian.incus.squashfs")])
    run(
        [
            "tar",
            "--numeric-owner",
            "--xattrs",
            "-xf",
            formats.artefact("livecd.debian.incus.unified.tar.xz"),
            "-C",
            unified,
        ]
    )
    listing = ["find", ".", "-printf", "%p %y %m %U %G %l\n"]
    here, there = (sorted(run(listing, cwd=top).splitlines()) for top in (split, unified / "rootfs"))
    assert here == there
    assert yaml.safe_load((unified / "metadata.yaml").read_text()) == metadata
    for template in metadata["templates"].values():
        assert (unified / "templates" / template["template"]).is_file()
    assert (split / "sbin/init").resolve().name == "systemd" or (split / "sbin/init").is_symlink()
    enabled = run(["chroot", split, "systemctl", "is-enabled", "systemd-networkd.service", "systemd-resolved.service"])
    assert enabled.split() == ["enabled", "enabled"]


def test_netboot_is_what_the_iso_boots(shipped: Project, tmp_path: Path) -> None:
    run(["tar", "-C", tmp_path, "-xf", shipped.artefact("livecd.debian.netboot.tar.gz")])
    iso, on_iso = shipped.artefact("livecd.debian.iso"), tmp_path / "on-iso"
    run(["xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/live", on_iso])
    kernel = next(on_iso.glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    run(["cmp", on_iso / f"vmlinuz-{kernel}", tmp_path / "live/vmlinuz"])
    run(["cmp", on_iso / f"initrd.img-{kernel}", tmp_path / "live/initrd.img"])
    run(["cmp", on_iso / "filesystem.squashfs", shipped.artefact("livecd.debian.netboot.squashfs")])
    menu = (tmp_path / "grub/grub.cfg").read_text()
    assert "boot=live components" in menu
    assert "fetch=tftp://$net_default_server/live/filesystem.squashfs" in menu
