"""Archive rebuild: Debian 12 taken in and checked for installability, against dose-builddebcheck alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from command import main
from ground import Ground
from report import Cost, Report, Row, against, measured

from image_builder.errors import PipelineError
from image_builder.run import BASE_ENV, run

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from debian_indices import ARCHITECTURE, SUITE, Indices, fetch

RATIO = 1.25  # of dose alone, at most
AFTER_CHANGE_S = 5.0
MEMORY_BYTES = 1_500_000_000

PROGRAM = r"""
import hashlib, json, resource, sys, time
from dataclasses import replace
from pathlib import Path
from image_builder.archive.database.open import open_database
from image_builder.archive.importer import Archive, take_in
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.installability.judge import Judge
from image_builder.archive.model import Base
sources_path, packages_path, folder, suite, architecture = sys.argv[1:]
folder = Path(folder)

def look(binaries, now):
    archive = Archive(sources, binaries)
    take_in(database, plan.identity, suite, [architecture], archive, [], now)
    judge.judge(sources, {architecture: binaries}, now)

def cpu():
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

def stanza(one):
    fields = {"Package": one.name, "Version": one.version, "Architecture": one.architecture,
        "Source": f"{one.source} ({one.source_version})", "Multi-Arch": one.multi_arch, **one.relations}
    return "".join(f"{name}: {text}\n" for name, text in fields.items()) + "\n"

def again(changed):
    (folder / "New").write_text("".join(map(stanza, changed)))
    began, before = time.perf_counter(), cpu()
    new = {one.name: one for one in read_packages(folder / "New")}
    judge.judge(sources, {architecture: [new.get(one.name, one) for one in binaries]}, 3.0)
    return time.perf_counter() - began, cpu() - before

began, before = time.perf_counter(), cpu()
sources = latest(read_sources(Path(sources_path)))
binaries = read_packages(Path(packages_path))
with open_database(folder / "state.db") as database:
    plan = database.add_run("bench", 0, Base.OLD, 0.0)
    judge = Judge(database, plan, suite, {architecture: [architecture, "all"]}, folder / "cache")
    look(binaries, 1.0)
    first = time.perf_counter() - began, cpu() - before
    by_hash = sorted(binaries, key=lambda one: hashlib.sha256(one.name.encode()).digest())
    some = [replace(one, version=one.version + "+b9") for one in by_hash[:5]]
    middle = [replace(one, relations={**one.relations, "Depends": one.relations.get("Depends", "dpkg") + ", hostname"})
        for one in binaries if one.name in ("debhelper", "dpkg-dev", "make", "libc6-dev", "perl")]
    figures = {"first": first, "some": again(some), "all": again(middle)}
figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(figures))
"""


def bench(ground: Ground, quick: bool) -> Report:
    return compare(ground.folder, fetch(ground.folder / "indices"), quick)


def compare(folder: Path, indices: Indices, quick: bool) -> Report:
    """quick: dose, which takes a minute, is asked about a tenth of the sources."""
    sources = _tenth(indices.sources) if quick else indices.sources
    theirs, _ = measured(lambda: _dose(indices.packages, sources))
    ours = _ours(folder, indices.packages, sources)
    first, some, every = (Cost(*ours[name]) for name in ("first", "some", "all"))
    rows = [
        Row("dose-builddebcheck alone", theirs),
        Row("taken in, first installability run", first),
        against("both, against dose alone", first, theirs, RATIO),
        Row("five binaries of another version, chosen by hash", some, bound=AFTER_CHANGE_S),
        Row("five with other dependencies, which every build needs", every, bound=AFTER_CHANGE_S),
        Row("memory at most, of 1.5 GB", ratio=ours["memory"] / MEMORY_BYTES, bound=1.0),
    ]
    notes = [
        f"Sources and Packages of Debian's main, {ARCHITECTURE}"
        + (", those whose counts are known" if indices.known else ""),
        "ours reads both indices, writes 38,600 rows to SQLite (synced) and asks for all of them; dose reads and asks",
        "after a change, in the same process: an index of the five is read, the answers go to the database",
        f"memory: {ours['memory'] / 1e6:.0f} MB",
    ]
    return Report("Archive rebuild: import and installability", rows, notes)


def _ours(folder: Path, packages: Path, sources: Path) -> dict[str, list[float]]:
    environment = {**BASE_ENV, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    words = [sys.executable, "-c", PROGRAM, sources, packages, folder, SUITE, ARCHITECTURE]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(f"exit {done.returncode}\n{done.stderr[-1000:]}", where=os.fspath(sources))
    figures: dict[str, list[float]] = json.loads(done.stdout)
    return figures


def _dose(packages: Path, sources: Path) -> None:
    words = ["-e", "-f", "--deb-emulate-sbuild", f"--deb-native-arch={ARCHITECTURE}", packages, sources]
    run(["dose-builddebcheck", *words], accept=(0, 1))


def _tenth(path: Path) -> Path:
    some = path.with_name("Some")
    some.write_text("\n\n".join(path.read_text().split("\n\n")[::10]) + "\n\n")
    return some


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
