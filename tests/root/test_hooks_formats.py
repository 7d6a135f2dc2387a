"""The .binary hooks that wrap a disk or a root for clouds and containers, on a small root: right fields, same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import struct
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

HOOKS = Path(__file__).parents[2] / "hooks.d/base"
EPOCH = 1_700_000_000
MIB = 1 << 20
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _asked_for_as_root() -> None:
    assert os.geteuid() == 0, "these tests pack files of several owners: run them as root"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with a root of a few files and a disk of 9 MiB with a partition table."""
    top = tmp_path / "tree"
    root = top / "chroot"
    for folder in ("etc", "dev", "usr/bin", "usr/lib/systemd", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text(
        'PRETTY_NAME="Debian & Co 13"\nNAME="Debian GNU/Linux"\nVERSION_CODENAME=trixie\n'
    )
    (root / "etc/fstab").write_text("UUID=12345678-1234-8234-8234-123456789abc / ext4 defaults 0 1\n")
    (root / "var/lib/dpkg/status").write_text("Package: a\n")
    (root / "usr/lib/systemd/systemd").write_text("#!/bin/sh\n")
    (root / "usr/lib/systemd/systemd").chmod(0o755)
    (root / "owned").write_text("by somebody")
    os.chown(root / "owned", 1234, 5678)
    (root / "first").write_text("linked")
    (root / "second").hardlink_to(root / "first")
    (root / "upwards").symlink_to("./etc/../first")
    os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))
    disk = top / "livecd.debian.img"
    with disk.open("wb") as file:
        file.truncate(9 * MIB)
        file.seek(4 * MIB)
        file.write(b"content" * 1000)
    table = "label: gpt\nlabel-id: 12345678-1234-8234-8234-123456789abc\n1 : start=2048, size=12288\n"
    subprocess.run(["sfdisk", "--quiet", disk], input=table, text=True, check=True)
    return top


def run(hook: str, tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARCH": "amd64", "SUITE": "trixie", "SOURCE_DATE_EPOCH": str(EPOCH),
        "XZ_LEVEL": "0", "GZIP_LEVEL": "1", "SQUASHFS_COMP": "lz4",
    }  # fmt: skip
    return subprocess.run(
        [HOOKS / f"{hook}.binary"], cwd=tree, env=base | environment, capture_output=True, text=True, check=False
    )


def made(hook: str, tree: Path, name: str, **environment: str) -> Path:
    result = run(hook, tree, **environment)
    assert result.returncode == 0, result.stderr
    return tree / name


def converted(tree: Path) -> Path:
    """The same tree, with what other hooks stand on: the disk as qcow2 and vmdk, the metadata for Incus."""
    made("incus", tree, "livecd.debian.incus.tar.xz")
    made("qcow2", tree, "livecd.debian.qcow2")
    made("vmdk", tree, "livecd.debian.vmdk")
    return tree


@pytest.mark.parametrize(
    ("hook", "names"),
    [
        ("disk1-img-xz", ["disk1.img.xz"]),
        ("vhd", ["vhd"]),
        ("gce", ["gce.tar.gz"]),
        ("ova", ["ova"]),
        ("vagrant", ["libvirt.box", "virtualbox.box"]),
        ("oci", ["oci.tar"]),
        ("incus", ["incus.tar.xz"]),
        ("incus-squashfs", ["incus.squashfs"]),
        ("incus-unified", ["incus.unified.tar.xz"]),
    ],
)
def test_bytes_depend_on_the_root_alone(tree: Path, tmp_path: Path, hook: str, names: list[str]) -> None:
    converted(tree)
    other = tmp_path / "other"
    # the same files, without holes
    subprocess.run(["cp", "--archive", "--sparse=never", tree, other], check=True)
    found = []
    for place, threads in ((tree, "1"), (other, "5")):
        found.append(
            [
                hashlib.sha256(made(hook, place, f"livecd.debian.{n}", IMAGE_BUILDER_THREADS=threads).read_bytes())
                for n in names
            ]
        )
    assert [h.hexdigest() for h in found[0]] == [h.hexdigest() for h in found[1]]
    assert not list(tree.glob("hook.*"))


def test_a_raw_disk_as_xz(tree: Path) -> None:
    packed = made("disk1-img-xz", tree, "livecd.debian.disk1.img.xz")
    assert lzma.decompress(packed.read_bytes()) == (tree / "livecd.debian.img").read_bytes()


def test_vhd_is_what_azure_asks_for(tree: Path) -> None:
    image = made("vhd", tree, "livecd.debian.vhd").read_bytes()
    disk, footer = image[:-512], image[-512:]
    assert disk == (tree / "livecd.debian.img").read_bytes()
    assert len(disk) % MIB == 0
    cookie, features, version, data_offset, created = struct.unpack(">8sIIQI", footer[:28])
    assert (cookie, features, version, data_offset) == (b"conectix", 2, 0x10000, 2**64 - 1)
    assert created == EPOCH - 946_684_800
    original, current = struct.unpack(">QQ", footer[40:56])
    assert original == current == len(disk)
    kind, checksum = struct.unpack(">II", footer[60:68])
    assert kind == 2, "fixed"
    assert checksum == ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF
    assert footer[74] >> 4 == 8, "a UUID made from a hash"


def test_vhd_of_broken_mebibytes_is_refused(tree: Path) -> None:
    with (tree / "livecd.debian.img").open("ab") as disk:
        disk.write(bytes(512))
    result = run("vhd", tree)
    assert result.returncode == 1
    assert "whole MiB" in result.stderr


def test_gce_has_whole_gibibytes_and_its_second_table_at_the_end(tree: Path, tmp_path: Path) -> None:
    packed = made("gce", tree, "livecd.debian.gce.tar.gz")
    with gzip.open(packed) as file:
        assert file.read(265)[257:] == b"ustar  \0", "the old GNU kind"
    with tarfile.open(packed) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.size, member.uid, member.mtime) == ("disk.raw", 1 << 30, 0, EPOCH)
        archive.extractall(tmp_path)
    said = subprocess.run(["sfdisk", "--verify", tmp_path / "disk.raw"], capture_output=True, text=True, check=True)
    assert "No errors detected" in said.stdout
    with (tmp_path / "disk.raw").open("rb") as disk:
        disk.seek(-512, os.SEEK_END)
        assert disk.read(8) == b"EFI PART"
        disk.seek(4 * MIB)
        assert disk.read(7) == b"content"


def ova(tree: Path, **environment: str) -> tuple[list[str], dict[str, bytes]]:
    with tarfile.open(made("ova", converted(tree), "livecd.debian.ova", **environment)) as archive:
        names = archive.getnames()
        return names, {n: archive.extractfile(n).read() for n in names}  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_ova_begins_with_its_description_and_hashes(tree: Path, algorithm: str) -> None:
    names, files = ova(tree, OVA_HASH=algorithm)
    assert names == [f"debian-trixie-amd64{end}" for end in (".ovf", ".mf", "-disk1.vmdk")]
    said = dict(line.split("= ") for line in files[names[1]].decode().splitlines())
    assert said == {
        f"{algorithm.upper()}({n})": hashlib.new(algorithm, files[n]).hexdigest() for n in (names[0], names[2])
    }
    assert files[names[2]] == (tree / "livecd.debian.vmdk").read_bytes()


def test_ovf_describes_the_disk_and_a_machine(tree: Path) -> None:
    names, files = ova(tree, OVA_CPUS="3", OVA_MEMORY_MB="1536")
    envelope = ET.fromstring(files[names[0]])
    assert envelope.tag == f"{OVF}Envelope"
    order = [child.tag.removeprefix(OVF) for child in envelope]
    assert order == ["References", "DiskSection", "NetworkSection", "VirtualSystem"]
    (file,) = envelope.iter(f"{OVF}File")
    (disk,) = envelope.iter(f"{OVF}Disk")
    assert file.get(f"{OVF}href") == names[2]
    assert int(file.get(f"{OVF}size", "")) == len(files[names[2]])
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert (disk.get(f"{OVF}capacity"), disk.get(f"{OVF}capacityAllocationUnits")) == (str(9 * MIB), "byte")
    assert str(disk.get(f"{OVF}format")).endswith("vmdk.html#streamOptimized")
    (system,) = envelope.iter(f"{OVF}VirtualSystem")
    sections = ["Info", "Name", "OperatingSystemSection", "VirtualHardwareSection", "ProductSection"]
    assert [child.tag.removeprefix(OVF) for child in system] == sections
    (os_section,) = envelope.iter(f"{OVF}OperatingSystemSection")
    assert os_section.findtext(f"{OVF}Description") == "Debian & Co 13"
    items = [{child.tag.removeprefix(RASD): child.text for child in item} for item in envelope.iter(f"{OVF}Item")]
    for item in items:
        assert list(item) == sorted(item), "the schema's order"
    by_kind = {item["ResourceType"]: item for item in items}
    assert (by_kind["3"]["VirtualQuantity"], by_kind["4"]["VirtualQuantity"]) == ("3", "1536")
    assert by_kind["17"]["HostResource"] == f"ovf:/disk/{disk.get(f'{OVF}diskId')}"
    assert by_kind["17"]["Parent"] == by_kind["6"]["InstanceID"]
    (network,) = envelope.iter(f"{OVF}Network")
    assert by_kind["10"]["Connection"] == network.get(f"{OVF}name")
    assert len({item["InstanceID"] for item in items}) == len(items)
    keys = {p.get(f"{OVF}key") for p in envelope.iter(f"{OVF}Property")}
    assert keys == {"instance-id", "hostname", "public-keys", "password", "user-data", "seedfrom"}


def test_boxes_are_what_vagrant_asks_for(tree: Path) -> None:
    result = run("vagrant", converted(tree))
    assert result.returncode == 0, result.stderr
    with tarfile.open(tree / "livecd.debian.libvirt.box", "r:gz") as box:
        assert box.getnames() == ["metadata.json", "Vagrantfile", "box.img"]
        metadata = json.load(box.extractfile("metadata.json"))  # type: ignore[arg-type]
        assert metadata == {"provider": "libvirt", "format": "qcow2", "virtual_size": 1, "architecture": "amd64"}
        assert box.extractfile("box.img").read() == (tree / "livecd.debian.qcow2").read_bytes()  # type: ignore[union-attr]
    with tarfile.open(tree / "livecd.debian.virtualbox.box", "r:gz") as box:
        assert box.getnames() == ["metadata.json", "Vagrantfile", "box.ovf", "box-disk001.vmdk"]
        assert json.load(box.extractfile("metadata.json"))["provider"] == "virtualbox"  # type: ignore[arg-type]
        envelope = ET.fromstring(box.extractfile("box.ovf").read())  # type: ignore[union-attr]
        (file,) = envelope.iter(f"{OVF}File")
        assert file.get(f"{OVF}href") == "box-disk001.vmdk"
        vagrantfile = box.extractfile("Vagrantfile").read().decode()  # type: ignore[union-attr]
    assert 'config.vm.base_mac = "080027' in vagrantfile
    assert 'type: "rsync"' in vagrantfile


def test_oci_layout_names_everything_by_its_hash(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(made("oci", tree, "livecd.debian.oci.tar")) as archive:
        archive.extractall(tmp_path / "oci")
    blobs = tmp_path / "oci/blobs/sha256"
    for blob in blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name

    def follow(entry: dict[str, object]) -> Path:
        path = blobs / str(entry["digest"]).removeprefix("sha256:")
        assert path.stat().st_size == entry["size"]
        return path

    assert json.loads((tmp_path / "oci/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((tmp_path / "oci/index.json").read_text())["manifests"]
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    manifest = json.loads(follow(entry).read_text())
    config = json.loads(follow(manifest["config"]).read_text())
    (layer,) = manifest["layers"]
    content = gzip.decompress(follow(layer).read_bytes())
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
    assert (config["architecture"], config["created"]) == ("amd64", "2023-11-14T22:13:20Z")
    with tarfile.open(follow(layer)) as archive:
        members = {m.name: m for m in archive}
    assert (members["./owned"].uid, members["./owned"].gid) == (1234, 5678)
    assert "./dev" in members
    assert "./dev/null" not in members


@pytest.mark.parametrize(
    ("debian", "architecture", "variant"),
    [("arm64", "arm64", None), ("armhf", "arm", "v7"), ("ppc64el", "ppc64le", None)],
)
def test_oci_calls_processors_as_go_does(tree: Path, debian: str, architecture: str, variant: str | None) -> None:
    with tarfile.open(made("oci", tree, "livecd.debian.oci.tar", ARCH=debian)) as archive:
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
    platform = index["manifests"][0]["platform"]
    assert (platform["architecture"], platform.get("variant")) == (architecture, variant)


def test_incus_images_have_their_metadata(tree: Path) -> None:
    metadata_file = made("incus", tree, "livecd.debian.incus.tar.xz")
    with tarfile.open(metadata_file) as archive:
        assert archive.getnames() == ["metadata.yaml", "templates", "templates/hostname.tpl", "templates/hosts.tpl"]
        metadata = yaml.safe_load(archive.extractfile("metadata.yaml"))  # type: ignore[arg-type]
    assert (metadata["architecture"], metadata["creation_date"]) == ("x86_64", EPOCH)
    properties = metadata["properties"]
    assert (properties["os"], properties["release"], properties["variant"]) == ("Debian", "trixie", "default")
    assert properties["serial"] == "20231114_2213"
    assert metadata["templates"]["/etc/hostname"] == {"when": ["create", "copy"], "template": "hostname.tpl"}
    with tarfile.open(made("incus-unified", tree, "livecd.debian.incus.unified.tar.xz")) as archive:
        members = archive.getmembers()
        names = [m.name for m in members]
        links = {m.name: m.linkname for m in members if m.linkname}
        assert yaml.safe_load(archive.extractfile("metadata.yaml")) == metadata  # type: ignore[arg-type]
    assert len(names) == len(set(names))
    assert {"rootfs/", "rootfs"} & set(names)
    assert "rootfs/dev/null" not in names
    assert links == {"rootfs/second": "rootfs/first", "rootfs/upwards": "./etc/../first"}
    squashfs = made("incus-squashfs", tree, "livecd.debian.incus.squashfs")
    listed = subprocess.run(["unsquashfs", "-ll", squashfs], capture_output=True, text=True, check=True).stdout
    assert "1234/5678" in listed
    assert "squashfs-root/dev/null" not in listed


def test_incus_seeds_cloud_init_where_it_is(tree: Path) -> None:
    (tree / "chroot/usr/bin/cloud-init").write_text("#!/bin/sh\n")
    (tree / "chroot/usr/bin/cloud-init").chmod(0o755)
    with tarfile.open(made("incus", tree, "livecd.debian.incus.tar.xz")) as archive:
        names = archive.getnames()
        metadata = yaml.safe_load(archive.extractfile("metadata.yaml"))  # type: ignore[arg-type]
    assert metadata["properties"]["variant"] == "cloud"
    for path, template in metadata["templates"].items():
        assert f"templates/{template['template']}" in names, path
    seed = metadata["templates"]["/var/lib/cloud/seed/nocloud-net/user-data"]
    assert seed["properties"] == {"default": "#cloud-config\n{}"}


def test_incus_without_an_init_is_refused(tree: Path) -> None:
    (tree / "chroot/usr/lib/systemd/systemd").unlink()
    result = run("incus", tree)
    assert result.returncode == 1
    assert "no init" in result.stderr


def test_incus_in_one_file_needs_the_metadata(tree: Path) -> None:
    result = run("incus-unified", tree)
    assert (result.returncode, "incus.binary has to run before" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("hook", "setting", "value"),
    [
        ("disk1-img-xz", "XZ_LEVEL", "best"),
        ("gce", "GZIP_LEVEL", "0"),
        ("oci", "GZIP_LEVEL", "10"),
        ("ova", "OVA_CPUS", "many"),
        ("ova", "OVA_MEMORY_MB", "1G"),
        ("ova", "OVA_HASH", "md5"),
        ("vagrant", "VAGRANT_CPUS", "0"),
        ("netboot", "NETBOOT_URL", "https://example.org/a.squashfs"),
        ("netboot", "LIVE_TIMEOUT", "0"),
    ],
)
def test_a_setting_that_means_nothing_is_named(tree: Path, hook: str, setting: str, value: str) -> None:
    result = run(hook, converted(tree), **{setting: value})
    assert result.returncode == 1
    assert f"{setting}={value}" in result.stderr


@pytest.mark.parametrize("hook", ["disk1-img-xz", "vhd", "gce", "ova", "vagrant", "netboot", "netboot-squashfs"])
def test_without_what_it_packs_a_hook_says_so(tree: Path, hook: str) -> None:
    (tree / "livecd.debian.img").unlink()
    result = run(hook, tree)
    assert result.returncode == 1
    assert "error: no " in result.stderr


@pytest.mark.parametrize("hook", ["vhd", "gce", "ova", "vagrant", "disk-image", "disk1-img-xz"])
def test_what_an_architecture_has_not_is_declined(tree: Path, hook: str) -> None:
    result = run(hook, tree, ARCH="riscv64")
    assert result.returncode == 0
    assert "declined" in result.stderr


def test_a_template_that_is_not_filled_in_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "x.json.j2").write_text("{{ given }} {{ forgotten }}")
    command = ["python3", HOOKS.parent / "lib/render", tmp_path / "x.json.j2", "given=1"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "render: x.json.j2: 'forgotten' is undefined" in result.stderr
