"""SIGKILL of whatever takes part in real builds, at moments nobody chose: nothing lost, doubled, or left behind."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from real_rebuild import QUICK, Rebuild, running, source_tree

from image_builder.archive.model import Outcome
from image_builder.archive.states import State

pytestmark = pytest.mark.full
NAMES = ["one", "two", "three"]
KILLS = 6


def parents() -> dict[int, int]:
    """Process → its parent, of all there are."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def below(tops: set[int]) -> list[int]:
    """All processes that descend from these, oldest first."""
    above = parents()
    found, todo = [], sorted(tops)
    while todo:
        pid = todo.pop(0)
        found.append(pid)
        todo += sorted(child for child, parent in above.items() if parent == pid)
    return [pid for pid in found if pid in above]


def supervisors(folder: Path) -> set[int]:
    found = set()
    for path in folder.glob("work/jobs/*/held"):
        with suppress(OSError, ValueError):
            if not (path.parent / "finished.json").exists():
                found.add(int(path.read_text()))
    return found


def test_builders_and_schedulers_killed_at_random(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    mark = f"7.{seed:06}"  # seconds that each build sleeps; nobody else sleeps so long
    trees = [source_tree(tmp_path, name, f"sleep {mark}; echo {name} >made", install=f"cp made $R/usr/share/{name}")
             for name in NAMES]  # fmt: skip
    # A build whose own processes are killed has failed like any other.
    outcomes = ("attempted", "builder-fault", "give-back", "chroot-problem")
    schedule = {**QUICK, "slots": 2, "alone": False, "lease_seconds": 600, "tries": dict.fromkeys(outcomes, 50),
                "delay_seconds": dict.fromkeys(outcomes, 0)}  # fmt: skip
    folder, store = tmp_path / "rebuild", tmp_path / f"kills-{os.urandom(4).hex()}/store"
    made = Rebuild(folder, store, {
        "local": [str(tree) for tree in trees], "packages": {"include": NAMES}, "schedule": schedule,
    })  # fmt: skip
    killed = []
    with made.start("run") as child:
        while not running(mark):  # until the roots are made
            assert child.poll() is None, child.communicate()
            time.sleep(0.2)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.2, 6.0))
            there = below(supervisors(folder))
            if not there:
                continue
            pid = chance.choice(there)
            with suppress(ProcessLookupError, OSError):
                killed.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:80])
                os.kill(pid, signal.SIGKILL)
        child.kill()
    print(*killed, sep="\n")
    assert killed
    made.run("run")  # at once: the claim of one that was killed on this machine is void
    for name in NAMES:
        attempts = made.attempts(name)
        assert [one.outcome for one in attempts].count(Outcome.SUCCEEDED) == 1
        assert made.package(name).state is State.INSTALLED
        assert made.result(name).attempt == next(
            one.attempt.identity for one in attempts if one.outcome is Outcome.SUCCEEDED
        )
        assert (made.unpacked(name, name, tmp_path / "unpacked") / f"usr/share/{name}/made").read_text() == f"{name}\n"
    assert running(mark) == []
    assert [path for path in (folder / "work/jobs").iterdir() if path.is_dir()] == []
    mounts = Path("/proc/mounts").read_text().splitlines()
    assert [line for line in mounts if str(tmp_path) in line] == []
