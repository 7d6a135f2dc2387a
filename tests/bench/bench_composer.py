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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MAKE_HOOKS = Path(__file__).parents[2] / "hooks.d/make-hooks"
PYTHON = "/usr/bin/python3"
SIZES = (250, 500, 1000, 2000)  # series files, each with HOOKS hooks
HOOKS = 10
RUNS = 3
LINEAR = 1.5  # CPU time per hook with 2000 series over that with 500, where start-up no longer counts
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


class Cost(NamedTuple):
    """Of the best of some runs of a program, in seconds."""

    wall: float
    cpu: float  # user and system: what other work on the machine disturbs least


def best_of(runs: int, argv: Sequence[str | Path], before: Callable[[], object] = lambda: None) -> Cost:
    """The least wall and the least CPU time: on a machine shared with others, of the run least disturbed."""
    costs = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        costs.append((time.perf_counter() - start, used.ru_utime + used.ru_stime))
        assert child.returncode == 0, argv
    return Cost(min(wall for wall, _ in costs), min(cpu for _, cpu in costs))


@contextmanager
def folder() -> Iterator[Path]:
    # In memory where there is such a folder: a busy disk's journal would be measured instead.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-composer.", dir=memory) as name:
        yield Path(name)


def growth(root: Path) -> tuple[list[str], float]:
    """Lines of a table, and CPU time per hook of the largest tree over that of the second smallest."""
    lines = [f"{'series':>7} {'hooks':>7} {'first run':>10} {'CPU':>7} {'us/hook':>8} {'again':>8} {'all named':>10}"]
    per_hook = []
    for series in SIZES:
        hooks_d = plant(root, series)
        links = hooks_d.parent / "hooks"

        def clear(links: Path = links) -> None:
            shutil.rmtree(links, ignore_errors=True)

        call: list[str | Path] = [MAKE_HOOKS, "--hooks-source", hooks_d]
        first, again = best_of(RUNS, [*call, "all"], clear), best_of(RUNS, [*call, "all"])
        named = best_of(RUNS, [*call, " ".join(f"s{number}" for number in range(series))], clear)
        assert len(os.listdir(links)) == series * HOOKS  # noqa: PTH208
        hooks = series * HOOKS
        per_hook.append(first.cpu / hooks * 1e6)
        lines.append(
            f"{series:7} {hooks:7} {first.wall:9.2f}s {first.cpu:6.2f}s {per_hook[-1]:8.1f} "
            f"{again.wall:7.2f}s {named.wall:9.2f}s"
        )
    return lines, per_hook[-1] / per_hook[1]


def start_up(root: Path) -> tuple[list[str], float]:
    """Lines of a table, and milliseconds (wall) of a whole small run above `python3 -c pass`."""
    hooks_d = plant(root / "small", 1)
    links = hooks_d.parent / "hooks"
    call: list[str | Path] = [MAKE_HOOKS, "--hooks-source", hooks_d, "all"]
    nothing = best_of(40, [PYTHON, "-c", "pass"]).wall * 1e3
    asked = best_of(40, [MAKE_HOOKS, "--help"]).wall * 1e3
    whole = best_of(40, call, lambda: shutil.rmtree(links, ignore_errors=True)).wall * 1e3
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
    print(f"CPU time per hook, {SIZES[-1]} series against {SIZES[1]}: {ratio:.2f} (at most {LINEAR})")
    print(f"start-up above python3 -c pass: {above_ms:.1f} ms (at most {START_MS:.0f})")
    return 0 if ratio <= LINEAR and above_ms <= START_MS else 1


if __name__ == "__main__":
    sys.exit(main())
