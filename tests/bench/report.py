"""What runs cost, side by side in one table."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """wall_s: seconds from start to end. cpu_s: user and system seconds of all its processes, which other work on
    the machine disturbs less."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


def measured(call: Callable[[], T]) -> tuple[Cost, T]:
    """Call it, and say what it cost with all its children. What is waiting for the disk is written before."""
    os.sync()  # else this run pays for what the one before it left
    before, began = _cpu_s(), time.perf_counter()
    result = call()
    return Cost(time.perf_counter() - began, _cpu_s() - before), result


def in_process(call: Callable[[], object]) -> Cost:
    """What a call costs that starts no programs: its time, and the processor time of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return Cost(time.perf_counter() - began, time.process_time() - cpu)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Row:
    """One line. A bound is the most the ratio may be, or the most seconds where there is no ratio."""

    what: str
    cost: Cost | None = None
    ratio: float | None = None  # of wall time
    cpu_ratio: float | None = None
    bound: float | None = None

    @property
    def met(self) -> bool | None:
        """Is the bound kept? None where there is none."""
        value = self.ratio
        if value is None and self.cost is not None:
            value = self.cost.wall_s
        return None if self.bound is None or value is None else value <= self.bound


def against(what: str, ours: Cost, theirs: Cost, bound: float | None = None) -> Row:
    """The row that divides one cost by another."""
    cpu = ours.cpu_s / theirs.cpu_s if theirs.cpu_s else None
    return Row(what, ratio=ours.wall_s / theirs.wall_s, cpu_ratio=cpu, bound=bound)


@dataclass(frozen=True)
class Report:
    """A finished bench. notes: what a reader has to know beside the figures."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """A Markdown table, so that it can be kept in docs/benchmarks.md as it is."""
        head = ("what", "seconds", "CPU s", "ratio", "CPU ratio", "at most", "met")
        cells = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]

        def line(words: Sequence[str]) -> str:
            first, *rest = zip(words, widths, strict=True)
            return f"| {first[0].ljust(first[1])} | " + " | ".join(w.rjust(n) for w, n in rest) + " |"

        rule = f"|{'-' * (widths[0] + 2)}|" + "|".join(f"{'-' * (n + 1)}:" for n in widths[1:]) + "|"
        facts = [f"{name}: {value}" for name, value in {**self.machine, **self.versions}.items()]
        notes = [f"- {note}" for note in (*self.notes, *facts)]
        return "\n".join([f"### {self.title}", "", line(head), rule, *map(line, cells[1:]), "", *notes, ""])

    def json(self) -> str:
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        whole: dict[str, Any] = {**asdict(self), "rows": rows}
        return json.dumps(whole, indent=2) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    cost = row.cost
    met = {True: "yes", False: "no", None: ""}[row.met]
    return (
        row.what,
        number(cost.wall_s if cost else None, 2),
        number(cost.cpu_s if cost else None, 2),
        number(row.ratio, 3),
        number(row.cpu_ratio, 3),
        "" if row.bound is None else f"{row.bound:g}" + (" s" if row.ratio is None else ""),
        met,
    )


def machine(folder: Path) -> dict[str, str]:
    """What this was measured on. folder: where the builds lie, whose disk is named."""
    cpu = _value("/proc/cpuinfo", "model name") or platform.machine()
    memory_kb = int(_value("/proc/meminfo", "MemTotal").split()[0])
    system = _value("/etc/os-release", "PRETTY_NAME", "=").strip('"')
    return {
        "processor": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory_kb / 1024**2:.1f} GiB",
        "kernel": f"{platform.release()} ({system})",
        "disk": _disk(folder),
        # With others at work the ratios of wall time mean little; those of CPU time mean more.
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def _disk(folder: Path) -> str:
    """File system, device, and whether it turns."""
    number = folder.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == device:
            kind, source, *_ = rest.split()
            at = Path(f"/sys/dev/block/{device}").resolve()
            turns = next((p for d in (at, at.parent) if (p := d / "queue/rotational").exists()), None)
            moving = "" if turns is None else ", rotational" if turns.read_text().strip() == "1" else ", not rotational"
            return f"{kind} on {source}{moving}"
    return f"device {device}"


def _value(path: str, name: str, sign: str = ":") -> str:
    for line in Path(path).read_text().splitlines():
        key, found, value = line.partition(sign)
        if found and key.strip() == name:
            return value.strip()
    return ""
