"""A whole image build behind the snapshot proxy, with nothing fetched yet and from the store, against the live network.

Every build starts without a layer. Sides take turns, and of each one's runs the quickest counts: the archive's
mirrors are slower in one minute than in the next.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from command import main
from ground import Ground
from report import Cost, Report, Row, against
from sides import QUICK, SMALL, Case, build, project, record

from image_builder.run import run
from proxy import environment

COLD, SECOND = 1.05, 0.9
ROUNDS = 3
# Nobody could know beforehand what this one asks for: all of it goes through the proxy.
HOOK = """#!/bin/sh
set -eu
apt-get update
apt-get install --yes --no-install-recommends git python3 emacs-nox
apt-get purge --yes emacs-nox
"""


def bench(ground: Ground, quick: bool) -> Report:
    environment.ensure()  # an installed tool, not part of a build
    case = Case(() if quick else SMALL, QUICK)
    targets = ["asks"]
    costs: dict[str, list[Cost]] = {"live": [], "cold": [], "second": []}
    notes = []
    for number in range(1 if quick else ROUNDS):
        live = _project(ground, f"live{number}", case)
        costs["live"].append(build(live, ground.cold_store(f"live{number}.store"), targets, "--no-snapshot"))
        cold, store = _project(ground, f"cold{number}", case), ground.cold_store(f"cold{number}.store")
        costs["cold"].append(build(cold, store, targets))
        second, again = _project(ground, f"second{number}", case), ground.cold_store(f"second{number}.store")
        shutil.copy2(cold / "image-builder.lock", second)
        run(["cp", "-a", "--link", store / "archive", again])
        costs["second"].append(build(second, again, targets))
        notes.append(_said(f"cold, {number + 1}", cold) + "; " + _said("second", second))
        for name in ("live", "cold", "second"):
            shutil.rmtree(ground.folder / f"{name}{number}.store")
    best = {name: min(found, key=lambda cost: cost.wall_s) for name, found in costs.items()}
    rows = [
        Row("on the live network (--no-snapshot)", best["live"]),
        Row("behind the proxy, nothing fetched before", best["cold"]),
        Row("behind the proxy, from lock and store", best["second"]),
        against("cold against live", best["cold"], best["live"], COLD),
        against("from the store against live", best["second"], best["live"], SECOND),
    ]
    return Report("a whole image build behind the snapshot proxy", rows, notes)


def _project(ground: Ground, name: str, case: Case) -> Path:
    folder = project(ground, name, case)
    hook = folder / "hooks.d/base/asks.chroot"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    series = folder / "hooks.d/base/series"
    (series / "asks").write_text("base/asks.chroot\n" + (series / "squashfs").read_text())
    return folder


def _said(what: str, folder: Path) -> str:
    network = record(folder).network
    assert network is not None
    return f"{what}: {network.requests} requests, {network.fetched} fetched, {network.from_store} from the store"


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
