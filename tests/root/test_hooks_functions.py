"""A disk image's root taken out for work and given back, by the functions known from livecd-rootfs."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

HOOKS = Path(__file__).parents[2] / "hooks.d"
UUID = "12345678-1234-8234-8234-123456789abc"
EPOCH = 1_700_000_000
MIB = 1 << 20
START = """sfdisk --quiet disk.img <<END
label: gpt
15 : start=4096, size=131072, type=U
1 : start=135168, size=65536
END
"""

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _asked_for_as_root() -> None:
    assert os.geteuid() == 0, "these tests mount: run them as root"


def bash(tree: Path, line: str) -> subprocess.CompletedProcess[str]:
    lib = "\n".join(f". {HOOKS}/lib/{name}.sh" for name in ("common", "disk", "functions"))
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARCH": "amd64", "SUITE": "trixie"}
    return subprocess.run(
        ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", f"{lib}\n{line}", "test.binary"], cwd=tree, text=True,
        env=environment | {"SOURCE_DATE_EPOCH": str(EPOCH)}, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with an image: an EFI system partition, and a root with everything a root can have."""
    root = tmp_path / "tree/chroot"
    for folder in ("etc", "dev/pts", "proc", "sys", "tmp", "usr/bin", "usr/sbin", "boot/efi", "a folder", "var/log"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/su").write_text("set-user-id")
    os.chown(root / "usr/bin/su", 0, 12)
    (root / "usr/bin/su").chmod(0o4755)
    (root / "usr/bin/ping").write_text("may open sockets")
    # VFS_CAP_REVISION_2, effective; cap_net_raw is number 13
    os.setxattr(
        root / "usr/bin/ping",
        "security.capability",
        (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(16, "little"),
    )
    os.setxattr(root / "a folder", "user.note", b'"quoted"\n\0')
    (root / 'a folder/"first"').write_text("linked")
    (root / "var/second").hardlink_to(root / 'a folder/"first"')
    (root / "usr/bin/link").symlink_to("../../a folder")
    os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))
    (root / "dev/null").chmod(0o666)
    os.mkfifo(root / "var/pipe")
    os.chown(root / "var/log", 1234, 5678)
    (root / "var/log").chmod(0o2775)
    subprocess.run(["find", root, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+"], check=True)
    made = bash(
        root.parent,
        "truncate --size=100M disk.img\n" + START + f"write_root disk.img chroot 135168 32 {UUID}\n"
        "mkdir -p esp/EFI/BOOT; echo loader >esp/EFI/BOOT/BOOTX64.EFI\nwrite_esp disk.img esp 4096 131072 ABCD-EF01\n",
    )
    assert made.returncode == 0, made.stderr
    return root.parent


def seen(root: Path) -> dict[str, object]:
    """All there is to know of every file below a root."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        found[str(path.relative_to(root))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_nlink * (not path.is_dir()), int(status.st_mtime),
            status.st_rdev, str(path.readlink()) if path.is_symlink() else "",
            path.read_bytes() if stat.S_ISREG(status.st_mode) else b"",
            {name: os.getxattr(path, name, follow_symlinks=False) for name in names},
        )  # fmt: skip
    return found


def unpacked(tree: Path, name: str) -> dict[str, object]:
    (tree / name).mkdir()
    subprocess.run([HOOKS / "lib/unpack-ext4", tree / "disk.img", str(135168 * 512), tree / name], check=True)
    return seen(tree / name)


def superblock(place: str) -> str:
    """What it says of itself, as dumpe2fs has it, whose newer versions take no ?offset=."""
    ask = ["debugfs", "-R", "show_super_stats -h", place]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout


def test_nothing_is_lost_on_the_way_out(tree: Path) -> None:
    assert unpacked(tree, "out") == seen(tree / "chroot")


def test_what_is_done_in_the_root_is_in_the_image_and_nothing_else_is_changed(tree: Path) -> None:
    before = (tree / "disk.img").read_bytes()
    done = bash(
        tree,
        "mkdir point; mount_disk_image disk.img point\n"
        "[ -e point/proc/version ] && [ -c point/dev/zero ]\n"
        "point/usr/sbin/policy-rc.d && exit 9 || [ $? = 101 ]\n"
        "cat point/boot/efi/EFI/BOOT/BOOTX64.EFI\n"
        "echo new >point/etc/new; echo more >point/boot/efi/EFI/more.cfg; echo lost >point/tmp/lost\n"
        "touch -d @1650000000 point/etc/new\n"
        "umount_disk_image point\nls -A point; cat /proc/self/mounts",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("loader\n")
    assert str(tree) not in done.stdout  # nothing is mounted there any more
    after = (tree / "disk.img").read_bytes()
    assert len(after) == len(before)
    assert after[: 4096 * 512] == before[: 4096 * 512]  # the partition table
    assert after[-MIB:] == before[-MIB:]
    assert sorted(p.name for p in tree.iterdir()) == ["chroot", "disk.img", "esp", "point"]

    expected, now = seen(tree / "chroot"), unpacked(tree, "out")
    assert set(now) - set(expected) == {
        "etc/new",
        "var/lib",
        "var/lib/apt",
        "var/lib/apt/lists",
        "var/cache",
        "var/cache/apt",
    }
    touched = {"etc", "var", "usr/sbin", "boot/efi", "tmp"}  # folders that got or lost something: another time
    assert {p: v for p, v in now.items() if p in expected and p not in touched} == {
        p: v for p, v in expected.items() if p not in touched
    }
    root = f"{tree}/disk.img?offset={135168 * 512}"
    said = superblock(root)
    assert f"Filesystem UUID:          {UUID}" in said
    assert "Filesystem volume name:   root" in said
    part = tree / "part"
    part.write_bytes(after[135168 * 512 : (135168 + 65536) * 512])
    assert subprocess.run(["e2fsck", "-fn", part], capture_output=True, check=False).returncode == 0
    listed = ["mdir", "-/", "-b", "-i", f"{tree}/disk.img@@{4096 * 512}", "::"]
    assert set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()) == {
        "::/EFI/", "::/EFI/BOOT/", "::/EFI/BOOT/BOOTX64.EFI", "::/EFI/more.cfg",
    }  # fmt: skip
    assert int.from_bytes(after[4096 * 512 + 67 :][:4], "little") == 0xABCDEF01


def test_a_label_of_its_own_stays(tree: Path) -> None:
    root = f"{tree}/disk.img?offset={135168 * 512}"
    subprocess.run(
        ["debugfs", "-w", "-R", "set_super_value volume_name cloudimg-rootfs", root], check=True, capture_output=True
    )
    done = bash(tree, "mkdir point; mount_disk_image disk.img point; umount_disk_image point")
    assert done.returncode == 0, done.stderr
    said = superblock(root)
    assert "Filesystem volume name:   cloudimg-rootfs" in said


def test_a_hook_that_fails_in_between_leaves_the_old_image(tree: Path) -> None:
    before = (tree / "disk.img").read_bytes()
    # more than fits
    done = bash(
        tree,
        "mkdir point; mount_disk_image disk.img point\nhead -c 40M /dev/urandom >point/y; umount_disk_image point",
    )
    assert done.returncode != 0
    assert (tree / "disk.img").read_bytes() == before
