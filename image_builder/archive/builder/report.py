"""What a builder leaves beside the packages: how it ended, the whole log compressed, the part of it that says why."""

from __future__ import annotations

import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.builder.perform import LOG, RESULTS
from image_builder.archive.outcome import failing_lines

ENDED = "ended.json"
AROUND = 12  # lines before and after one that says what failed
LAST = 40  # lines of the end, when none does


@dataclass(frozen=True, slots=True)
class Ended:
    """exit_status: sbuild's. never_begun: why sbuild was not started; empty: it was."""

    exit_status: int
    timed_out: bool = False
    cancelled: bool = False
    out_of_memory: bool = False
    never_begun: str = ""


def tidy(folder: Path, assignment: Assignment) -> None:
    """Put the log beside the results, compressed and in short; sbuild's own copies of it go."""
    results = folder / RESULTS
    results.mkdir(exist_ok=True)
    whole = [path for path in results.iterdir() if path.name.endswith(".build") and not path.is_symlink()]
    for path in whole:
        with (folder / LOG).open("ab") as log:
            log.write(path.read_bytes())
    for path in results.iterdir():
        if path.name.endswith(".build"):
            path.unlink()
    name = f"{assignment.source}_{assignment.version.partition(':')[2] or assignment.version}_{assignment.architecture}"
    with (folder / LOG).open("rb") as log, lzma.open(results / f"{name}.log.xz", "wb", preset=1) as packed:
        shutil.copyfileobj(log, packed)
    (results / f"{name}.short.log").write_text(in_short(folder / LOG), encoding="utf-8")


def in_short(log: Path) -> str:
    """The lines around what failed, else the last ones."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    named = failing_lines(lines)
    if not named:
        return "\n".join(lines[-LAST:]) + "\n"
    first = named[0] - 1
    return "\n".join(lines[max(0, first - AROUND) : first + AROUND + 1]) + "\n"
