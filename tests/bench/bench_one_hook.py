"""Proof (d): one binary hook changed in one of eight targets, against the full build."""

from __future__ import annotations

import sys

from command import main
from ground import Ground
from report import Report, Row, against
from sides import QUICK, SMALL, Case, build, project, record

BOUND = 0.15
HOOK = "base/tarball.binary"


def bench(ground: Ground, quick: bool) -> Report:
    folder = project(ground, "ours", Case(() if quick else SMALL, QUICK if quick else {}))
    store = ground.cold_store("store")
    targets = ["root-dir", "squashfs", "tarball"] if quick else ["all"]
    full = build(folder, store, targets)
    with (folder / "hooks.d" / HOOK).open("a") as hook:
        hook.write("# changed\n")
    changed = build(folder, store, targets)
    built = [layer for layer in record(folder).layers if layer.action == "built"]
    own_s = sum(layer.seconds for layer in built if HOOK in layer.name)
    rows = [
        Row(f"image-builder build {' '.join(targets)}, cold", full),
        Row(f"the same after a change to {HOOK}", changed),
        against("with the hook's own time", changed, full),
        Row("without the hook's own step", ratio=(changed.wall_s - own_s) / full.wall_s, bound=BOUND),
    ]
    notes = [f"built anew: {', '.join(layer.name for layer in built)}; the hook's own step took {own_s:.2f} s"]
    return Report("(d) one of the hooks changed", rows, notes)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
