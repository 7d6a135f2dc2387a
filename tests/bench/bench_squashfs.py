"""Proof (b): one target against plain live-build, and against mmdebstrap and a packer by hand as the floor; all cold.

A squashfs (xz) of about 230 packages with the cloud kernel; a tar of Debian's minimal root, not compressed, since a
compressor would cost all sides the same.
"""

from __future__ import annotations

import shlex
import sys

from command import main
from ground import Ground
from report import Report, Row, against
from sides import QUICK, SMALL, Case, Edit, build, by_hand, plain, project, same_packages

from image_builder.build.prepare import BOOTSTRAP
from image_builder.config import BuildConfig

SQUASHFS_BOUND, TAR_BOUND, FLOOR_AIM = 0.58, 0.35, 1.05
PACKAGES = (
    *SMALL, "linux-image-cloud-amd64", "initramfs-tools", "zstd", "e2fsprogs", "openssh-server", "cloud-init",
    "cloud-guest-utils", "systemd-timesyncd", "sudo", "curl", "rsync", "tmux", "lsof", "man-db", "iputils-ping", "htop",
    "bind9-dnsutils",
)  # fmt: skip
TAR_HOOK = """#!/bin/sh
# The root as a tar, not compressed.
# inputs: lib/common.sh lib/tar.sh
set -eu
self=$(readlink -f "$0")
here=${self%/*}
[ -d chroot ] || cd ..
. "$here/../lib/common.sh"
. "$here/../lib/tar.sh"
tar_root . >"$(artefact rootfs.tar)"
"""
TAR_SERIES = """# The root as a tar, not compressed
depends base
base/tar.binary
provides livecd.$PROJECT.rootfs.tar
"""
TAR_EDITS = (Edit("base/tar.binary", "", TAR_HOOK), Edit("base/series/tar", "", TAR_SERIES))


def root_by_hand(config: BuildConfig) -> str:
    """The command that makes the same root as live-build, but for what live-build does to it afterwards."""
    options = [word for word in BOOTSTRAP if not word.startswith("--skip=")]  # its own update, its own clean-up
    if config.packages:
        options.append(f"--include={','.join(config.packages)}")
    main_sources = [f"deb {config.mirror} {config.suite}{part} main" for part in ("", "-updates")]
    sources = [*main_sources, f"deb {config.security_mirror} {config.suite}-security main"]
    return shlex.join([*options, config.suite, "root", *sources])


def compare(ground: Ground, name: str, case: Case, target: str, pack: str, bound: float) -> tuple[list[Row], str]:
    """Rows of one target, and a note. pack: the command that makes the image of root/ by hand."""
    folder = project(ground, f"ours-{name}", case)
    ours = build(folder, ground.cold_store(f"store-{name}"), [target])
    floor = by_hand(ground, f"floor-{name}", f"{root_by_hand(case.config)}\n{pack}")
    default = plain(ground, f"default-{name}", case, target, with_chroot=True)
    other = plain(ground, f"plain-{name}", case, target)
    rows = [
        Row(f"{name}: image-builder build {target}", ours),
        Row(f"{name}: mmdebstrap and {pack.split(maxsplit=1)[0]} by hand", floor),
        Row(f"{name}: lb config && lb build", default.counted),
        Row(f"{name}: lb config --build-with-chroot false && lb build", other.counted),
        against(f"{name}: ours against plain", ours, default.counted, bound),
        against(f"{name}: ours against plain without a copy of the root", ours, other.counted),
        against(f"{name}: ours against the floor (an aim)", ours, floor, FLOOR_AIM),
    ]
    return rows, same_packages(folder, target, other)


def bench(ground: Ground, quick: bool) -> Report:
    full = Case(("nano",), QUICK) if quick else Case(PACKAGES)
    compressor = full.environment.get("SQUASHFS_COMP", "xz")
    squash = f'mksquashfs root image -noappend -no-progress -comp {compressor} -b 1M -processors "$(nproc)" -mem 512M'
    tar = "tar --create --file=image --sort=name --numeric-owner --acls --xattrs -C root ."
    rows, note = compare(ground, "squashfs", full, "squashfs", squash, SQUASHFS_BOUND)
    more, other_note = compare(ground, "minbase tar", Case(edits=TAR_EDITS), "tar", tar, TAR_BOUND)
    return Report("(b) one format, cold", [*rows, *more], [note, other_note])


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
