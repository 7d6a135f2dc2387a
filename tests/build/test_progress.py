"""What the user sees while a build runs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from image_builder.build.progress import LiveProgress, Progress, human, make
from image_builder.plan.tree import Node

Grow = Callable[..., dict[str, Node]]


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 kB"), (1536, "1.5 kB"), (5 << 20, "5.0 MB"), (3 << 30, "3.00 GB"),
     (5 << 40, "5120.00 GB")],
)  # fmt: skip
def test_sizes(size_bytes: int, text: str) -> None:
    assert human(size_bytes) == text


def lines(stream: io.StringIO) -> list[str]:
    """What was printed, without the seconds."""
    found = stream.getvalue().splitlines()
    assert all(re.match(r"\[ {,6}\d+\.\d\] ", line) for line in found)
    return [line.partition("] ")[2] for line in found]


def test_plain_lines_tell_of_every_step(tree: Grow) -> None:
    x, y = tree("qcow2: x", "vmdk: x y").values()
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        progress.started(x, Path("/nonexistent"))
        progress.line(x, "only in the log")
        progress.note(x, "left a process running")
        progress.ended(x, 12.34, 3 << 20, "")
        progress.ended(y, 0.0, 0, "made by another build meanwhile")
        progress.failed(y, 1.0, "timeout")
    assert lines(stream) == [
        "start  x  (qcow2, vmdk)",
        "       x: left a process running",
        "done   x  12.3 s, 3.0 MB",
        "done   y  0.0 s, 0 B  (made by another build meanwhile)",
        "FAILED y  1.0 s: timeout",
    ]


def test_a_step_of_many_targets_does_not_name_them_all(tree: Grow) -> None:
    stream = io.StringIO()
    Progress(stream=stream).started(tree(*(f"{t}: base" for t in "abcde"))["base"], Path())
    assert lines(stream) == ["start  base  (5 targets)"]


def test_quiet_is_quiet(tree: Grow) -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream, quiet=True)
    progress.started(tree("a: x")["x"], Path())
    progress.say("anything")
    assert stream.getvalue() == ""


def drawn(progress: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(progress._draw())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_live_display_has_a_line_per_running_step(tree: Grow, tmp_path: Path) -> None:
    x, y = tree("qcow2: x", "vmdk: y").values()
    progress = LiveProgress()
    (tmp_path / "disk.img").write_bytes(b"x" * (2 << 20))
    progress.started(x, tmp_path)
    progress.started(y, tmp_path / "none yet")
    progress.line(x, "  packing \n")
    progress.line(x, "\n")
    rows = drawn(progress).splitlines()
    assert re.match(r"x +qcow2 +0 s +2\.0 MB +packing", rows[0])
    assert re.match(r"y +vmdk +0 s +0 B", rows[1])
    progress.ended(x, 1.0, 1, "")
    progress.failed(y, 1.0, "broke")
    assert drawn(progress).strip() == ""


def test_a_ci_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("CI", raising=False)
    assert isinstance(make(), LiveProgress)
    assert not isinstance(make(quiet=True), LiveProgress)
    monkeypatch.setenv("CI", "true")
    assert not isinstance(make(), LiveProgress)
