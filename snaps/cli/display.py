"""Progress of downloads on stderr: bars on a terminal, a line per snap elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from snaps.download import Wanted

MB = 1 << 20


class Lines:
    """A line when a snap begins, one when it is there."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = time.monotonic()
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, wanted: Wanted, there: int) -> None:
        self._since[wanted.sha3_384] = time.monotonic()
        on = f", going on at {there / MB:.1f} MB" if there else ""
        self.say(f"start  {wanted.name} {wanted.revision}  {wanted.size_bytes / MB:.1f} MB{on}")

    def got(self, wanted: Wanted, there: int) -> None:
        pass

    def done(self, wanted: Wanted) -> None:
        seconds = time.monotonic() - self._since.get(wanted.sha3_384, time.monotonic())
        self.say(f"done   {wanted.name} {wanted.revision}  {seconds:.1f} s")

    def say(self, text: str) -> None:
        with self._lock:
            print(f"[{time.monotonic() - self._began:7.1f}] {text}", file=self._stream, flush=True)


class Bars:
    """The same on a terminal: a bar for each snap on its way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def begin(self, wanted: Wanted, there: int) -> None:
        with self._lock:
            if wanted.sha3_384 not in self._tasks:
                text = f"{wanted.name} {wanted.revision}"
                self._tasks[wanted.sha3_384] = self._progress.add_task(text, total=wanted.size_bytes)
        self.got(wanted, there)

    def got(self, wanted: Wanted, there: int) -> None:
        self._progress.update(self._tasks[wanted.sha3_384], completed=there)

    def done(self, wanted: Wanted) -> None:
        with self._lock:
            task = self._tasks.pop(wanted.sha3_384, None)
        if task is not None:
            self._progress.remove_task(task)
        self.say(f"{wanted.name} {wanted.revision}: {wanted.size_bytes / MB:.1f} MB")

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


@contextmanager
def shown() -> Iterator[Lines | Bars]:
    """The display for this stderr."""
    if not sys.stderr.isatty() or os.environ.get("CI"):
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)
