"""The logs of attempts among the results: found, and read as far as anybody reads."""

from __future__ import annotations

import lzma
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.pages.marking import HEAD, Text
from image_builder.archive.stages import log_folder
from image_builder.errors import PipelineError

BLOCK = 1 << 20
LOOKED_AT = 4 << 20  # bytes of a log's end, in which what failed is looked for
LONGEST = 512 << 20  # bytes of a log that are read at most: a few bytes of xz can be endless
SHORT = 200_000  # bytes of a short log


@dataclass(frozen=True, slots=True)
class Log:
    """A log as it is kept. stamp: changes when it does."""

    path: Path  # .log.xz
    short: Path | None
    stamp: tuple[str, int, int]


def find(results: Path, stage: int, record: AttemptRecord) -> Log | None:
    """The log of an attempt of a stage: with the newest result of its package, or in the history; None: not kept."""
    try:
        folder = log_folder(results, stage, record)
    except PipelineError:  # no name of a folder, or no record: nothing a builder of ours has left
        return None
    for path in sorted(folder.glob("*.log.xz")) if folder is not None else ():
        if path.is_file() and not path.is_symlink():
            short = path.with_name(path.name.removesuffix(".log.xz") + ".short.log")
            state = path.stat()
            stamp = (path.name, state.st_size, state.st_mtime_ns)
            return Log(path, short if short.is_file() and not short.is_symlink() else None, stamp)
    return None


def read(log: Log) -> Text:
    """Read a log from begin to end, and keep what can be shown. Raises PipelineError for one that is damaged."""
    head: list[str] = []
    kept: deque[bytes] = deque()
    size = dropped = held = 0
    for block in blocks(log):
        if not head:
            head = _lines(block)[:HEAD]
        kept.append(block)
        size, held = size + len(block), held + len(block)
        while held - len(kept[0]) >= LOOKED_AT:
            gone = kept.popleft()
            held, dropped = held - len(gone), dropped + gone.count(b"\n")
    tail = b"".join(kept)
    if held == size:
        return Text([], _lines(tail), 0, size, size >= LONGEST)
    _, _, tail = tail.partition(b"\n")  # it begins within a line
    return Text(head, _lines(tail), dropped + 1 - len(head), size, size >= LONGEST)


def blocks(log: Log) -> Iterator[bytes]:
    """The whole log in pieces, LONGEST bytes at most. Raises PipelineError for one that is damaged."""
    size = 0
    try:
        with lzma.open(log.path) as file:
            while size < LONGEST and (block := file.read(min(BLOCK, LONGEST - size))):
                size += len(block)
                yield block
    except (OSError, EOFError, lzma.LZMAError) as e:
        raise PipelineError(f"the log cannot be read: {e}", where=log.path, hint="it is damaged, or was deleted") from e


def in_short(log: Log) -> str:
    """The part of it that says why, as the builder left it; "" if it left none."""
    if log.short is None:
        return ""
    try:
        with log.short.open("rb") as file:
            return file.read(SHORT).decode("utf-8", "replace")
    except OSError:
        return ""


def _lines(text: bytes) -> list[str]:
    lines = text.decode("utf-8", "replace").split("\n")
    return lines[:-1] if lines[-1] == "" else lines
