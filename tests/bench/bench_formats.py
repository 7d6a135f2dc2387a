"""Proof (a): squashfs, tar.xz, qcow2 and vmdk in one build, against four plain runs of live-build, all cold."""

from __future__ import annotations

import sys

from command import main
from ground import Ground
from report import Cost, Report, Row, against
from sides import QUICK, SMALL, Case, Edit, build, plain, project, same_packages

BOUND = 0.38
TARGETS = ("squashfs", "tarball", "qcow2", "vmdk")
# systemd-resolved makes the root's resolv.conf a dangling link, after which plain live-build's own apt-get waits half
# a minute for names. That stall is no work, and would count for us: neither side installs it.
WITHOUT_RESOLVED = (
    Edit("base/disk-packages.chroot", r" (\$PACKAGES_RESOLVED|\$\{PACKAGES_RESOLVED-systemd-resolved\})", ""),
    Edit("base/disk-system.chroot", r" systemd-resolved\.service", ""),
)


def bench(ground: Ground, quick: bool) -> Report:
    case = Case(() if quick else SMALL, QUICK if quick else {}, WITHOUT_RESOLVED)
    targets = TARGETS[:2] if quick else TARGETS
    folder = project(ground, "ours", case)
    # First, so that whatever the mirror or the kernel has to warm up is at our expense.
    ours = build(folder, ground.cold_store("store"), targets)
    runs = {target: plain(ground, f"plain-{target}", case, target) for target in targets}
    whole = sum((one.cost for one in runs.values()), Cost(0, 0))
    counted = sum((one.counted for one in runs.values()), Cost(0, 0))
    rows = [
        Row(f"image-builder build {' '.join(targets)}", ours),
        *(Row(f"lb config && lb build, {target}", one.cost) for target, one in runs.items()),
        Row("the plain runs together", whole),
        Row("the same without live-build's own image", counted),
        against("ours against the plain runs", ours, whole),
        against("ours against them without their own image", ours, counted, BOUND),
    ]
    return Report(f"(a) {len(targets)} formats, cold", rows, [same_packages(folder, t, one) for t, one in runs.items()])


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
