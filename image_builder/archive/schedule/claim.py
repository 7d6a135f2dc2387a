"""A run has one scheduler: who holds the claim, and for how long after its last word."""

from __future__ import annotations

import os
import uuid

from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.errors import ConfigError

RENEW_SHARE = 0.25  # of its length: how often it is renewed


class Claim:
    """The right to drive a run. Renewed by whoever has it, free again some time after that was killed."""

    def __init__(self, run: Run, seconds: float) -> None:
        self.run, self.seconds = run, seconds
        self.name = f"scheduler of run {run.identity}"
        self.holder = f"{os.uname().nodename}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._renewed = float("-inf")

    def hold(self, database: Database, now: float) -> None:
        """Take it, or keep it. Raises ConfigError when another has it: nothing may be touched then."""
        if now - self._renewed < RENEW_SHARE * self.seconds:
            return
        if not database.claim(self.name, self.holder, now, self.seconds):
            who = database.holder(self.name, now) or "somebody who has just gone"
            raise ConfigError(
                f"another scheduler is at work ({who})",
                where=f"run {self.run.name!r}",
                hint=f"one that was killed is forgotten after {self.seconds:.0f} s",
            )
        self._renewed = now

    def release(self, database: Database) -> None:
        """Let the next one have it."""
        database.release(self.name, self.holder)
