"""How much memory may be used at once, and whether the machine is already short of it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from image_builder.errors import SurroundingsError
from image_builder.plan.tree import Node

MIB = 1024 * 1024
# What a step of a kind needs when no earlier build has measured it. mksquashfs and xz set the largest.
DEFAULT_MEMORY_MIB = {"base": 400, "packages": 500, "finish": 600, "image": 1500, "binary": 1500, "pack": 400}
SHARE = 0.8  # of MemAvailable, so that the page cache and everybody else keep some
PRESSURE_PERCENT = 20.0  # of the last ten seconds in which some task waited for memory
LIMIT = 0.95  # of MemAvailable: what one step may take before it, and nothing else, is ended for it
MIN_FREE_DISK = 512 * MIB
# What a step of a kind writes when no earlier build has measured it.
DEFAULT_DISK_MIB = {"base": 640, "packages": 768, "image": 1024, "binary": 768, "pack": 768}
RESERVE_DISK = 256 * MIB  # is left when a step is ended for lack of room: others work on the same disk


def memory_available(meminfo: str) -> int:
    """MemAvailable in bytes from the text of /proc/meminfo; 0 when it does not say."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_pressure(psi: str) -> float:
    """The avg10 of the "some" line of /proc/pressure/memory, in percent; 0 without one."""
    for line in psi.splitlines():
        if line.startswith("some"):
            fields = dict(word.split("=") for word in line.split()[1:])
            return float(fields.get("avg10", 0))
    return 0.0


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # kernels without pressure stall information
        return ""


class Budget:
    """Memory reserved for running steps, taken from what was available at the start."""

    def __init__(self, measured: Callable[[Node], int | None], *, total: int | None = None) -> None:
        """measured: peak bytes a step used last time. total: bytes to share out; None asks the kernel."""
        self._measured = measured
        self._total = int(memory_available(_read("/proc/meminfo")) * SHARE) if total is None else total
        self._taken: dict[Node, int] = {}
        self._passed: dict[Node, set[Node]] = {}  # who waits -> who was let past it and still runs
        self._lock = threading.Lock()

    def need(self, node: Node) -> int:
        return self._measured(node) or DEFAULT_MEMORY_MIB.get(node.spec.kind, 400) * MIB

    def take(self, node: Node, *, alone: bool) -> bool:
        """Reserve what a step needs. alone: nothing else runs, so it may start whatever it needs.

        Who is refused keeps its turn: a later one is let past it only while there is room for both, so that it
        starts, at the latest, when those have ended that ran before it was refused.
        """
        need = self.need(node)
        with self._lock:
            if not alone and not (self._fits(need) and self._lets_all_others_start(node, need)):
                self._passed.setdefault(node, set())
                return False
            if not alone and memory_pressure(_read("/proc/pressure/memory")) > PRESSURE_PERCENT:
                return False
            self._passed.pop(node, None)
            for past in self._passed.values():
                past.add(node)
            self._taken[node] = need
        return True

    def _fits(self, need: int) -> bool:
        return sum(self._taken.values()) + need <= self._total

    def _lets_all_others_start(self, node: Node, need: int) -> bool:
        return all(
            self.need(waiting) + sum(self._taken[other] for other in past) + need <= self._total
            for waiting, past in self._passed.items()
            if waiting is not node
        )

    def limit_bytes(self) -> int | None:
        """What no step may take more of; None where the kernel does not say what there is."""
        return int(self._total / SHARE * LIMIT) or None

    def give_back(self, node: Node) -> None:
        with self._lock:
            self._taken.pop(node, None)
            for past in self._passed.values():
                past.discard(node)

    def share_mib(self, jobs: int) -> int:
        """What one of several compressors running at once may use, in MiB."""
        return max(256, self._total // MIB // max(jobs, 1))


def disk_need(kind: str, written: int | None) -> int:
    """Bytes a step should find free. written: how large its layer was the last time; None: not known."""
    if written is None:
        return max(MIN_FREE_DISK, DEFAULT_DISK_MIB.get(kind, 0) * MIB)
    # a quarter more: on its way to the layer, a step makes files that do not stay
    return max(MIN_FREE_DISK, written + written // 4 + RESERVE_DISK)


def disk_is_short(folder: Path) -> str:
    """Why a step that writes below folder has to end now; empty while it has not."""
    free = shutil.disk_usage(folder).free
    if free >= RESERVE_DISK:
        return ""
    return f"no space left on the disk but {free // MIB} MiB, which are not for it: it was ended"


def check_disk(folder: Path, *, need: int = MIN_FREE_DISK) -> None:
    """Raise SurroundingsError when a folder's file system has less than `need` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SurroundingsError(
            f"no space: {free // MIB} MiB left, a step needs {need // MIB} MiB",
            where=folder,
            hint="image-builder store prune --max-size 20G, or another --store",
        )
