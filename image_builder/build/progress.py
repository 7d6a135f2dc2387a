"""What the user sees while a build runs: live lines on a terminal, plain lines with times elsewhere. To stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from image_builder.plan.tree import Node

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

REDRAW_S = 0.25
MIB = 1024 * 1024


def human(size_bytes: int) -> str:
    """ "12.3 MB" in powers of 1024, as ls -h says it."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"


@dataclass
class _Running:
    node: Node
    since: float
    upper: Path
    line: str = ""


@dataclass
class Progress:
    """Told by the performer, in any thread; prints plain lines. One per build."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    started_at: float = field(default_factory=time.monotonic)
    counters: Callable[[], str] | None = None  # one line of what is counted while steps run
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, text: str) -> None:
        """One line of progress, with the seconds since the start."""
        if not self.quiet:
            with self._lock:
                print(f"[{time.monotonic() - self.started_at:7.1f}] {text}", file=self.stream, flush=True)

    def started(self, node: Node, upper: Path) -> None:  # noqa: ARG002 (the live display looks at it)
        self.say(f"start  {node.spec.name}  ({_targets(node)})")

    def line(self, node: Node, text: str) -> None:
        """A line a step printed; the log has it, the plain display does not."""

    def note(self, node: Node, text: str) -> None:
        self.say(f"       {node.spec.name}: {text}")

    def ended(self, node: Node, seconds: float, size_bytes: int, why: str) -> None:
        self.say(f"done   {node.spec.name}  {seconds:.1f} s, {human(size_bytes)}" + (f"  ({why})" if why else ""))

    def failed(self, node: Node, seconds: float, reason: str) -> None:
        self.say(f"FAILED {node.spec.name}  {seconds:.1f} s: {reason}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class LiveProgress(Progress):
    """The same on a terminal: above, what is done; below, a line per running step with target, size and seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[Node, _Running] = {}
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=1 / REDRAW_S, transient=True)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        if self._live is None:
            super().say(text)
        elif not self.quiet:
            self._live.console.print(
                f"[{time.monotonic() - self.started_at:7.1f}] {text}", markup=False, highlight=False
            )

    def started(self, node: Node, upper: Path) -> None:
        with self._lock:
            self._running[node] = _Running(node, time.monotonic(), upper)

    def line(self, node: Node, text: str) -> None:
        running = self._running.get(node)
        if running and text.strip():
            running.line = text.strip()

    def ended(self, node: Node, seconds: float, size_bytes: int, why: str) -> None:
        with self._lock:
            self._running.pop(node, None)
        super().ended(node, seconds, size_bytes, why)

    def failed(self, node: Node, seconds: float, reason: str) -> None:
        with self._lock:
            self._running.pop(node, None)
        super().failed(node, seconds, reason)

    def _draw(self) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        with self._lock:
            rows = list(self._running.values())
        for row in rows:
            seconds = time.monotonic() - row.since
            size = human(_top_files(row.upper))
            table.add_row(row.node.spec.name, _targets(row.node), f"{seconds:5.0f} s", size, row.line)
        if (counters := self.counters) is not None:
            table.add_row("", "", "", "", counters())
        return table


def _targets(node: Node) -> str:
    return ", ".join(node.targets) if len(node.targets) <= 4 else f"{len(node.targets)} targets"


def _top_files(upper: Path) -> int:
    """Bytes in the files at the top of the layer: the images being written."""
    total = 0
    with suppress(OSError):
        for entry in os.scandir(upper):
            if entry.is_file(follow_symlinks=False):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def make(*, live: bool | None = None, quiet: bool = False) -> Progress:
    """The display for this stderr. live: None looks whether it is a terminal and no CI."""
    if live is None:
        live = sys.stderr.isatty() and not os.environ.get("CI")
    return LiveProgress() if live and not quiet else Progress(quiet=quiet)
