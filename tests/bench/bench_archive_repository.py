"""The build repository of a whole Debian: 67,000 binary names from their results, then one changed package."""

from __future__ import annotations

import random
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from command import main
from ground import Ground
from report import Cost, Report, Row

from image_builder.archive.model import FileEntry
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag, Flags
from image_builder.archive.results import RECORD, STANZAS, Result, Results

T = TypeVar("T")

SOURCES, NAMES, CLASHES = 34_000, 67_000, 602  # as Debian 12 has them
WHOLE_S, ONE_S, MEMORY_BYTES = 20.0, 0.5, 1_500_000_000


def bench(ground: Ground, quick: bool) -> Report:
    return compare(ground.folder, 50 if quick else 1)


def compare(folder: Path, part: int) -> Report:
    """folder: an empty one. part: this share of the whole is measured, 1: all."""
    sources, names = SOURCES // part, NAMES // part
    results = Results(folder / "results")
    for source, files in packages(sources, names, CLASHES // part):
        lay_down(results.place("stable", "amd64", source), source, files)
    repository = Repository(results, folder / "repository", {"stable": ("amd64",)})

    first, _ = _measured(lambda: repository.update("stable"))
    again, _ = _measured(lambda: repository.rebuild("stable"))
    nothing, _ = _measured(lambda: repository.update("stable"))
    changed = results.place("stable", "amd64", "source-00100")
    shutil.rmtree(changed)
    lay_down(changed, "source-00100", ["other-1_2-1_amd64.deb", "other-2_2-1_amd64.deb"])
    one, touched = _measured(lambda: repository.update("stable"))
    assert 0 < touched.linked + touched.removed <= 12, touched
    flag, _ = _measured(lambda: repository.set_flags("stable", Flags(packages={"source-00200": (Flag(False),)})))
    index, _ = _measured(lambda: repository.index("stable", "amd64", now=0.0))
    assert repository.verify("stable") == []
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    offered = len(repository.winners("stable", "amd64"))
    rows = [
        Row("the repository from all results", first, bound=WHOLE_S),
        Row("made anew, with the tree there", again, bound=WHOLE_S),
        Row("nothing changed", nothing, bound=ONE_S),
        Row("one changed package", one, bound=ONE_S),
        Row("one package no longer for builds", flag, bound=ONE_S),
        Row("its index for apt, with its files' links, the first time", index),
        Row(f"memory at most, of {MEMORY_BYTES / 1e9:g} GB", ratio=memory / MEMORY_BYTES, bound=1.0),
    ]
    notes = [
        f"{sources} sources; {offered} binary names, {CLASHES // part} of them given by two; nothing is hashed",
        "every update finds out by itself what changed",
    ]
    return Report("Archive rebuild: the build repository", rows, notes)


def _measured(call: Callable[[], T]) -> tuple[Cost, T]:
    began, cpu = time.perf_counter(), time.process_time()
    result = call()
    return Cost(time.perf_counter() - began, time.process_time() - cpu), result


def packages(sources: int, names: int, clashes: int) -> Iterator[tuple[str, list[str]]]:
    """Sources with the files of their packages."""
    dice = random.Random(7)
    made: list[list[str]] = [[f"lib{number:05}_1-1_amd64.deb"] for number in range(sources)]
    for number in range(names - sources):
        made[dice.randrange(sources)].append(f"more{number:05}_1-1_amd64.deb")
    for number in range(clashes):
        made[dice.randrange(sources)].append(f"lib{number:05}_2-1_amd64.deb")
    for number, files in enumerate(made):
        yield f"source-{number:05}", files


def lay_down(place: Path, source: str, files: list[str]) -> None:
    """A result as Results.put() leaves it, without waiting for the disk."""
    place.mkdir(parents=True)
    entries = tuple(FileEntry(file, 5, "0" * 64) for file in sorted(files))
    for entry in entries:
        (place / entry.name).write_text("deb!\n")
    result = Result("stable", source, "1-1", "1-1", "amd64", files=entries)
    (place / RECORD).write_text(result.text())
    stanzas = (
        f"Package: {entry.name.partition('_')[0]}\nVersion: 1-1\nArchitecture: amd64\nDepends: libc6 (>= 2.36)\n"
        f"Description: of the size most have\n{' x' * 200}\nFilename: files/{'0' * 16}-{entry.name}\nSize: 5\n"
        for entry in entries
    )
    (place / STANZAS).write_text("\n".join(stanzas))


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
