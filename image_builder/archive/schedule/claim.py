"""A run has one scheduler: who holds the claim, and for how long after its last word."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.errors import ConfigError

RENEW_SHARE = 0.25  # of its length: how often it is renewed


class Claim:
    """The right to drive a run. Renewed by whoever has it; free again some time after that was killed, and at once
    where it can be seen that it was: on the same machine."""

    def __init__(self, run: Run, seconds: float) -> None:
        self.run, self.seconds = run, seconds
        self.name = f"scheduler of run {run.identity}"
        self.holder = f"{os.uname().nodename}:{os.getpid()}:{_born(os.getpid())}:{_machine()}:{uuid.uuid4().hex[:8]}"
        self._renewed = float("-inf")

    def hold(self, database: Database, now: float) -> None:
        """Take it, or keep it. Raises ConfigError when another has it: nothing may be touched then."""
        if now - self._renewed < RENEW_SHARE * self.seconds:
            return
        if not self._taken(database, now):
            who = database.holder(self.name, now) or "somebody who has just gone"
            raise ConfigError(
                f"another scheduler is at work ({':'.join(who.split(':')[:2])})",
                where=f"run {self.run.name!r}",
                hint=f"one that was killed on another machine is forgotten after {self.seconds:.0f} s",
            )
        self._renewed = now

    def release(self, database: Database) -> None:
        """Let the next one have it."""
        database.release(self.name, self.holder)

    def _taken(self, database: Database, now: float) -> bool:
        if database.claim(self.name, self.holder, now, self.seconds):
            return True
        other = database.holder(self.name, now)
        if other is None or not _is_gone(other):
            return False
        database.release(self.name, other)
        return database.claim(self.name, self.holder, now, self.seconds)


def _is_gone(holder: str) -> bool:
    """Whether a holder was a process of this machine that is no more. In doubt it is not."""
    _, pid, born, machine, _ = holder.split(":") if holder.count(":") == 4 else ("", "", "", "", "")
    return machine == _machine() and pid.isdigit() and _born(int(pid)) != born


def _machine() -> str:
    """Another text on another machine, after a boot, and where other processes have these numbers."""
    said = Path("/proc/sys/kernel/random/boot_id").read_text() + str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _born(pid: int) -> str:
    """When a process began, in ticks since the boot; "" for one that has ended. Numbers are given again."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if said[0] in "ZX" else said[19]
