"""Proof (c): a build in which nothing changed, with a lock: eight targets, all stored."""

from __future__ import annotations

import statistics
import sys

from command import main
from ground import Ground
from report import Cost, Report, Row
from sides import QUICK, SMALL, Case, build, project

from image_builder.errors import PipelineError

BOUND_S = 0.7
RUNS = 9


def bench(ground: Ground, quick: bool) -> Report:
    # What the first build costs is no matter here, hence the quick compressors in any case.
    folder = project(ground, "ours", Case(() if quick else SMALL, QUICK))
    store = ground.cold_store("store")
    targets = ["squashfs", "tarball"] if quick else ["all"]
    first = build(folder, store, targets)
    made = (folder / "builds/latest").resolve()
    again = []
    for _ in range(RUNS):
        again.append(build(folder, store, targets))
        if (folder / "builds/latest").resolve() != made:
            raise PipelineError("built something, though nothing had changed", where=folder.with_suffix(".log"))
    middle = Cost(statistics.median(c.wall_s for c in again), statistics.median(c.cpu_s for c in again))
    rows = [
        Row(f"image-builder build {' '.join(targets)}, cold", first),
        Row(f"the same again, median of {RUNS}", middle, bound=BOUND_S),
        Row(f"the same again, slowest of {RUNS}", max(again, key=lambda c: c.wall_s)),
    ]
    return Report("(c) nothing changed", rows)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
