"""What this machine gives to builds: how many at once, and with how much."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_builder.architectures import native_architecture, runs_natively
from image_builder.archive.builder import root
from image_builder.archive.builder.assignment import Tools
from image_builder.layers import Store
from image_builder.sandbox.emulation import emulated

SLOT_MEMORY = 4 << 30  # a slot for each so much memory, and each two cores


@dataclass(frozen=True)
class Machine:
    """What this machine gives to builds. slots: at once; parallel: processes of each."""

    slots: int
    parallel: int
    memory_bytes: int
    disk_bytes: int

    def has_memory_for(self, needed_bytes: int) -> bool:
        """Whether a build's chroot can lie in memory, beside what its processes take."""
        return needed_bytes <= self.memory_bytes // self.slots


def machine(work: Path, *, slots: int | None, parallel: int | None, memory: int | None, disk: int | None) -> Machine:
    """What was asked for, else what this machine has: a slot for each two cores and each 4 GiB."""
    cores = len(os.sched_getaffinity(0))
    there = memory or _available_memory()
    wanted = slots or max(1, min((cores + 1) // 2, there // SLOT_MEMORY))
    work.mkdir(parents=True, exist_ok=True)
    return Machine(
        slots=wanted,
        parallel=parallel or max(1, cores // wanted),
        memory_bytes=there,
        disk_bytes=disk or shutil.disk_usage(work).free,
    )


def try_builds(store: Path, tools: Tools, work: Path, say: Callable[[str], None]) -> None:
    """Have the root that builds run in, and try there what every build needs; made first if it is not stored.

    Raises SurroundingsError where this machine cannot build, before anything is asked of it.
    """
    say("the builder's root: looking, or making it (about a minute)")
    log = work / "builder-root.log"
    with Store(store) as kept:
        root.probe(root.made(kept, tools, log), log)


@contextmanager
def emulated_all(architectures: Sequence[str], say: Callable[[str], None]) -> Iterator[None]:
    """Let programs of these architectures run here for the length of the block; loudly where QEMU has to do it.

    Raises SurroundingsError for what is missing.
    """
    native = native_architecture()
    with ExitStack() as stack:
        for architecture in architectures:
            if runs_natively(architecture, native):
                continue
            how = stack.enter_context(emulated(architecture))
            say(
                f"warning: {architecture} is emulated by QEMU on this {native} machine: its builds take about ten times"
                f" as long, and tests may fail that would not on a real one; its programs are run {how}"
            )
        yield


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return SLOT_MEMORY
