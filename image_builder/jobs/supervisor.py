"""Watches one job: `python -m image_builder.jobs.supervisor FOLDER`. Outlives who started it, by the lease at most.

FOLDER is the job's. In it: job.json (what to do), held (locked as long as this lives), work (the command's folder, then
its artefacts), tmp, output.log, state.json (the heartbeat), cancel (there: end it), finished.json (the last word).
The folder above has `lease`, which whoever started this rewrites now and then: when it has not changed for the lease's
time, nobody wants the result, and the job ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from image_builder.files import write_whole
from image_builder.jobs.interface import Exit, Finished
from image_builder.jobs.processes import MARK, adopt_orphans, descendants, end_all_children, resident_bytes, used_bytes
from image_builder.run import BASE_ENV

POLL_MS = 200
FULL_BYTES = 16 * 1024 * 1024  # with less than this free, a command that failed may well have failed for it


class Supervisor:
    """One job, from its start to finished.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: Mapping[str, Any] = json.loads((folder / "job.json").read_text())
        self.started = time.monotonic()
        self.memory_bytes = self.disk_bytes = 0
        self.lease = ("", self.started)  # its text, and when it was first seen
        self.measured = self.beaten = float("-inf")
        self.oom_kills = _oom_kills()

    def run(self) -> None:
        """Start the command, watch it, end all of it, and say how it ended."""
        for name in ("work", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        with (self.folder / "output.log").open("ab") as log:
            try:
                child = subprocess.Popen(
                    _contained(self.job["command"]),
                    cwd=self.folder / "work",
                    env={
                        **BASE_ENV,
                        "TMPDIR": os.fspath(self.folder / "tmp"),
                        **self.job["environment"],
                        MARK: self.job["reference"],
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as e:
                self._finish(Exit.NOT_STARTED, None, str(e))
                return
        forced = self._watch(child)
        self._measure()
        end_all_children()
        status = child.returncode if child.returncode is not None else -signal.SIGKILL
        status = 128 - status if status < 0 else status
        if forced is not None:
            self._finish(forced[0], None, forced[1])
        elif status and _oom_kills() > self.oom_kills:
            self._finish(Exit.OUT_OF_MEMORY, status, "the kernel ended something for memory meanwhile")
        elif status and shutil.disk_usage(self.folder).free < FULL_BYTES:
            self._finish(Exit.DISK_FULL, status, "the disk is full")
        else:
            self._finish(Exit.ENDED, status, "")

    def _watch(self, child: subprocess.Popen[bytes]) -> tuple[Exit, str] | None:
        """Until the command has ended, or has to be; then why."""
        ended = select.poll()
        ended.register(os.pidfd_open(child.pid), select.POLLIN)  # closed when this process ends, which is soon after
        while not ended.poll(POLL_MS):
            now = time.monotonic()
            if now - self.beaten >= self.job["heartbeat_seconds"]:
                self._beat(now)
            if (self.folder / "cancel").exists():
                return Exit.CANCELLED, ""
            if now - self.started > self.job["time_limit_seconds"]:
                return Exit.TIMEOUT, f"not done after {self.job['time_limit_seconds']:.0f} s"
            limit = self.job["memory_limit_bytes"]
            if limit is not None and self.memory_bytes > limit:
                return Exit.OUT_OF_MEMORY, f"it used more than {limit // 2**20} MiB"
            if self._lease_is_over(now):
                return Exit.LOST, "nobody asked for it any more"
        child.wait()
        return None

    def _lease_is_over(self, now: float) -> bool:
        try:
            text = (self.folder.parent / "lease").read_text()
        except OSError:
            text = self.lease[0]
        if text != self.lease[0]:
            self.lease = (text, now)
        # Not its time stamp: a clock that is set forward must end no job.
        return now - self.lease[1] > float(self.job["lease_seconds"])

    def _beat(self, now: float) -> None:
        self.beaten = now
        self._measure()
        state = {"pid": os.getpid(), "at": time.time(), "memory_bytes": self.memory_bytes,
                 "disk_bytes": self.disk_bytes}  # fmt: skip
        part = self.folder / "state.part"
        part.write_text(json.dumps(state))  # not synced: after a crash of the machine it says nothing anyway
        part.replace(self.folder / "state.json")

    def _measure(self) -> None:
        self.memory_bytes = max(self.memory_bytes, resident_bytes(descendants(os.getpid())))
        now = time.monotonic()
        if now >= self.measured:
            self.disk_bytes = max(self.disk_bytes, sum(used_bytes(self.folder / n) for n in ("work", "tmp")))
            self.measured = time.monotonic() + 20 * (time.monotonic() - now)  # looking takes a twentieth at most

    def _finish(self, exit: Exit, status: int | None, reason: str) -> None:
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        work = self.folder / "work"
        found = sorted(os.path.relpath(f"{base}/{name}", work) for base, _, names in os.walk(work) for name in names)
        finished = Finished(
            self.job["reference"], exit, status, self.job["worker"], time.time(), time.monotonic() - self.started,
            self.memory_bytes, self.disk_bytes, os.fspath(work), tuple(found), reason,
        )  # fmt: skip
        write_whole(self.folder / "finished.json", json.dumps(asdict(finished)))


def _contained(command: list[str]) -> list[str]:
    """The command, told by the kernel to end when this process is killed.

    Not in a PID namespace: the builder makes those for itself, with a /proc that fits, which cannot be had everywhere.
    """
    if shutil.which(command[0], path=BASE_ENV["PATH"]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed, or not a program")
    return ["setpriv", "--pdeathsig", "KILL", *command]


def _oom_kills() -> int:
    match = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


def main(folder: Path) -> None:
    """Hold the folder and do its job; who comes second does nothing."""
    with (folder / "held").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if (folder / "finished.json").exists():
            return
        held.write(str(os.getpid()))
        held.flush()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `cancel` is the way to end it. Not SIG_IGN, which the command would inherit.
            signal.signal(number, lambda *_: None)
        adopt_orphans()
        Supervisor(folder).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
