"""Proof (e): make-hooks grows with the size of the tree and no faster, and starts at once.

python3 tests/bench/bench_composer.py            prints a table; exit status 1 when a limit is missed
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAKE_HOOKS = Path(__file__).parents[2] / "hooks.d/make-hooks"
PYTHON = "/usr/bin/python3"
SIZES = (250, 500, 1000, 2000)  # series files, each with HOOKS hooks
HOOKS = 10
RUNS = 3
LINEAR = 1.5  # time per hook with 2000 series over that with 500, where start-up no longer counts
START_MS = 15.0


def plant(root: Path, series: int) -> Path:
    """A tree whose target "all" needs every series: half in one long chain, half side by side."""
    hooks_d = root / str(series) / "hooks.d"
    (hooks_d / "base/series").mkdir(parents=True)
    (hooks_d / "chroot").mkdir()
    for number in range(series):
        folder = hooks_d / f"base/{number}"
        folder.mkdir()
        lines = [f"# Series {number}", f"provides {number}.img"]
        if 0 < number < series // 2:
            lines.append(f"depends s{number - 1}")
        for hook in range(HOOKS):
            (folder / f"{hook}.binary").touch()
            lines.append(f"base/{number}/{hook}.binary")
        (hooks_d / f"base/series/s{number}").write_text("\n".join(lines) + "\n")
    every = "".join(f"depends s{number}\n" for number in range(series))
    (hooks_d / "base/series/all").write_text(every)
    return hooks_d


def best_of(runs: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Seconds of the quickest run: on a machine shared with others the one least disturbed."""
    seconds = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def command(*argv: str | Path) -> Callable[[], object]:
    return lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-composer.") as name:
        yield Path(name)


def growth(root: Path) -> tuple[list[str], float]:
    """Lines of a table, and time per hook at the largest size over that at the second smallest."""
    lines = [f"{'series':>7} {'hooks':>7} {'first run':>10} {'us/hook':>8} {'again':>8} {'all named':>10}"]
    per_hook = []
    for series in SIZES:
        hooks_d = plant(root, series)
        links = hooks_d.parent / "hooks"

        def clear(links: Path = links) -> None:
            shutil.rmtree(links, ignore_errors=True)

        first = best_of(RUNS, command(MAKE_HOOKS, "--hooks-source", hooks_d, "all"), clear)
        again = best_of(RUNS, command(MAKE_HOOKS, "--hooks-source", hooks_d, "all"))
        names = " ".join(f"s{number}" for number in range(series))
        named = best_of(RUNS, command(MAKE_HOOKS, "--hooks-source", hooks_d, names), clear)
        assert len(os.listdir(links)) == series * HOOKS  # noqa: PTH208
        per_hook.append(first / (series * HOOKS) * 1e6)
        lines.append(f"{series:7} {series * HOOKS:7} {first:9.2f}s {per_hook[-1]:8.1f} {again:7.2f}s {named:9.2f}s")
    return lines, per_hook[-1] / per_hook[1]


def start_up(root: Path) -> tuple[list[str], float]:
    """Lines of a table, and milliseconds of a whole small run above `python3 -c pass`."""
    hooks_d = plant(root / "small", 1)
    links = hooks_d.parent / "hooks"
    nothing = best_of(40, command(PYTHON, "-c", "pass")) * 1e3
    asked = best_of(40, command(MAKE_HOOKS, "--help")) * 1e3
    whole = best_of(
        40, command(MAKE_HOOKS, "--hooks-source", hooks_d, "all"), lambda: shutil.rmtree(links, ignore_errors=True)
    ) * 1e3  # fmt: skip
    return [
        f"python3 -c pass            {nothing:6.1f} ms",
        f"make-hooks --help          {asked:6.1f} ms  {asked - nothing:+.1f}",
        f"make-hooks, {HOOKS} hooks       {whole:6.1f} ms  {whole - nothing:+.1f}",
    ], whole - nothing


def main() -> int:
    with folder() as root:
        table, ratio = growth(root)
        starts, above_ms = start_up(root)
    print(*table, "", *starts, "", sep="\n")
    print(f"time per hook, {SIZES[-1]} series against {SIZES[1]}: {ratio:.2f} (at most {LINEAR})")
    print(f"start-up above python3 -c pass: {above_ms:.1f} ms (at most {START_MS:.0f})")
    return 0 if ratio <= LINEAR and above_ms <= START_MS else 1


if __name__ == "__main__":
    sys.exit(main())
