"""The executor of this machine: each job under a supervisor of its own, within a budget, found again after a restart.

Everything it knows is in its folder: a sub-folder per job (see supervisor). So it can be killed at any moment; the
supervisors go on for the length of the lease, and the next one to open the folder finds their jobs running or finished.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.files import write_whole
from image_builder.jobs.budget import Budget
from image_builder.jobs.interface import Capacity, Event, Exit, Finished, Heartbeat, Job, Reconciled, Started
from image_builder.jobs.processes import end_marked
from image_builder.run import BASE_ENV

REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_-]{0,200}")
RENEW_SHARE = 0.2  # of the lease: how often it is renewed


class Local:
    """Jobs on this machine. One process at a time uses the folder; `with` closes it.

    slots, memory_bytes, disk_bytes: what the jobs may use together. architectures: that this machine can build for.
    lease_seconds: how long the jobs go on when this process dies and no other takes over.
    Raises ConfigError when another process uses the folder, SurroundingsError when it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        architectures: Sequence[str],
        slots: int,
        memory_bytes: int,
        disk_bytes: int,
        lease_seconds: float = 600.0,
        heartbeat_seconds: float = 10.0,
        worker: str = "",
    ) -> None:
        self.folder, self.architectures = folder, tuple(architectures)
        self.lease_seconds, self.heartbeat_seconds = lease_seconds, heartbeat_seconds
        self.worker = worker or os.uname().nodename
        self._budget = Budget(slots=slots, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
        self._waiting: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}  # of those this process started
        self._beats: dict[str, float] = {}  # time of the last heartbeat handed out
        self._told: set[str] = set()  # whose Finished was handed out by this process
        self._renewed = self._rests_until = float("-inf")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held = (folder / ".held").open("a+")
        except OSError as e:
            raise SurroundingsError(f"cannot be used: {e.strerror}", where=folder) from e
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._held.seek(0)
            who = self._held.read().strip() or "unknown"
            self._held.close()
            raise ConfigError(f"another process works here (number {who})", where=folder) from None
        self._held.truncate(0)
        self._held.write(str(os.getpid()))
        self._held.flush()
        self._take_over()

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all jobs, wait until nothing of them runs, and leave the folder. What has finished stays to be told."""
        for reference in list(self._waiting):
            shutil.rmtree(self.folder / reference, ignore_errors=True)
        self._waiting.clear()
        for reference in self._running:
            (self.folder / reference / "cancel").touch()
        while self._running:
            self._look(0.1)
        self._held.close()

    # What the interface asks for

    def submit(self, job: Job) -> None:
        """Accept a job; it starts as soon as the budget has room."""
        if not REFERENCE.fullmatch(job.reference):
            raise ConfigError("not a file name", where=f"reference {job.reference!r}")
        if job.architecture not in (*self.architectures, "all"):
            raise ConfigError(f"this machine builds for {', '.join(self.architectures)}", where=job.name)
        place = self.folder / job.reference
        if place.exists():
            return
        order = {
            **asdict(job),
            "environment": dict(job.environment),
            "worker": self.worker,
            "lease_seconds": self.lease_seconds,
            "heartbeat_seconds": self.heartbeat_seconds,
        }
        new = self.folder / f".new-{job.reference}"
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            write_whole(new / "job.json", json.dumps(order))
            new.rename(place)
        except OSError as e:
            raise SurroundingsError(f"cannot be written: {e.strerror}", where=new) from e
        self._waiting[job.reference] = job

    def cancel(self, reference: str) -> None:
        """End a job; one that has not begun is told as cancelled too."""
        if reference in self._waiting:
            job = self._waiting.pop(reference)
            self._write_finished(job, Exit.CANCELLED, "")
        elif reference in self._running:
            (self.folder / reference / "cancel").touch()

    def events(self, timeout_seconds: float) -> Sequence[Event]:
        """What happened, waiting at most so long for the first."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._renew()
            found = [*self._start(), *self._look(0.0)]
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            self._sleep(min(left, self.heartbeat_seconds / 2, RENEW_SHARE * self.lease_seconds))

    def rest(self, worker: str, seconds: float) -> None:
        """Start nothing for so long; what runs goes on."""
        if worker == self.worker:
            self._rests_until = time.monotonic() + seconds

    def forget(self, reference: str) -> None:
        """Remove what is left of a finished job."""
        if reference not in self._running and reference not in self._waiting:
            shutil.rmtree(self.folder / reference, ignore_errors=True)
            self._told.discard(reference)

    def reconcile(self, believed: Collection[str]) -> Reconciled:
        """End what nobody believes in; say how the rest stands."""
        self._look(0.0)
        for reference in [*self._waiting, *self._running]:
            if reference not in believed:
                self.cancel(reference)
        finished = frozenset(r for r in believed if (self.folder / r / "finished.json").exists())
        running = frozenset(r for r in believed if r in self._waiting or r in self._running) - finished
        for path in self._jobs():
            if path.name not in believed and (path / "finished.json").exists():
                self.forget(path.name)
        self._told -= finished
        return Reconciled(running, finished, frozenset(believed) - running - finished)

    def capacity(self) -> Mapping[str, Capacity]:
        """The same for every architecture: they share the machine."""
        busy = len(self._running) + len(self._waiting)
        resting = time.monotonic() < self._rests_until
        free = 0 if resting else max(0, self._budget.slots - busy)
        one = Capacity(self._budget.slots, free, len(self._waiting))
        return dict.fromkeys(self.architectures, one)

    # How it is done

    def _jobs(self) -> list[Path]:
        return [path for path in sorted(self.folder.iterdir()) if not path.name.startswith(".") and path.is_dir()]

    def _take_over(self) -> None:
        for path in self.folder.glob(".new-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self._jobs():
            try:
                order = json.loads((path / "job.json").read_text())
            except (OSError, ValueError):  # half removed by forget()
                shutil.rmtree(path, ignore_errors=True)
                continue
            fields = {name: order[name] for name in Job.__dataclass_fields__}
            job = Job(**{**fields, "command": tuple(order["command"])})
            if (path / "finished.json").exists():
                continue
            if (path / "held").exists():
                self._running[path.name] = job
            else:
                self._waiting[path.name] = job

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed >= RENEW_SHARE * self.lease_seconds:
            part = self.folder / ".lease.part"
            part.write_text(f"{os.getpid()} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}")
            part.replace(self.folder / "lease")
            self._renewed = now

    def _start(self) -> list[Event]:
        found: list[Event] = []
        if time.monotonic() < self._rests_until:
            return found
        for job in self._budget.admit(list(self._waiting.values()), self._running.values()):
            del self._waiting[job.reference]
            self._running[job.reference] = job
            place = self.folder / job.reference
            with (place / "supervisor.log").open("ab") as log:
                self._supervisors[job.reference] = subprocess.Popen(
                    [sys.executable, "-m", "image_builder.jobs.supervisor", place],
                    env={**BASE_ENV, "PYTHONPATH": os.fspath(Path(__file__).parents[2])},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is not meant for it
                )
            found.append(Started(job.reference, self.worker, time.time()))
        return found

    def _look(self, wait_seconds: float) -> list[Event]:
        """What the folders of the running jobs say; and of the finished ones, what this process has not told."""
        if wait_seconds:
            self._sleep(wait_seconds)
        found: list[Event] = []
        for reference, job in list(self._running.items()):
            place = self.folder / reference
            if self._ended(job, place):
                del self._running[reference]
            else:
                with suppress(OSError, ValueError):
                    state = json.loads((place / "state.json").read_text())
                    if state["at"] != self._beats.get(reference):
                        self._beats[reference] = state["at"]
                        found.append(Heartbeat(reference, state["at"], state["memory_bytes"], state["disk_bytes"]))
        now = time.time()
        for reference in self._waiting:  # nobody is to think it is lost
            if abs(now - self._beats.get(reference, 0.0)) >= self.heartbeat_seconds:
                self._beats[reference] = now
                found.append(Heartbeat(reference, now, 0, 0))
        for place in self._jobs():
            if place.name in self._told or place.name in self._running or place.name in self._waiting:
                continue
            with suppress(OSError, ValueError):
                value = json.loads((place / "finished.json").read_text())
                found.append(Finished(**{**value, "exit": Exit(value["exit"]), "artifacts": tuple(value["artifacts"])}))
                self._told.add(place.name)
                self._beats.pop(place.name, None)
        return found

    def _ended(self, job: Job, place: Path) -> bool:
        """Whether nobody watches it any more; if its supervisor was killed, this has the last word instead."""
        own = self._supervisors.get(job.reference)
        if own is not None:
            if own.poll() is None:
                return False
            del self._supervisors[job.reference]
        with (place / "held").open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not (place / "finished.json").exists():
                # The kernel has ended the command together with its supervisor; what the command left is ended here.
                end_marked(job.reference)
                shutil.rmtree(place / "tmp", ignore_errors=True)
                self._write_finished(job, Exit.LOST, "what watched it was killed" + _last_words(place))
        return True

    def _sleep(self, seconds: float) -> None:
        """Until then, or until one of our supervisors ends. Those of an earlier process are looked at in turns."""
        ended = select.poll()
        descriptors = []
        for child in self._supervisors.values():
            with suppress(ProcessLookupError):
                descriptors.append(os.pidfd_open(child.pid))
                ended.register(descriptors[-1], select.POLLIN)
        try:
            adopted = len(self._running) > len(self._supervisors)
            ended.poll(min(seconds, 0.5 if adopted else seconds) * 1000)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _write_finished(self, job: Job, exit: Exit, reason: str) -> None:
        place = self.folder / job.reference
        said = Finished(job.reference, exit, None, self.worker, time.time(), 0.0, 0, 0, reason=reason)
        write_whole(place / "finished.json", json.dumps(asdict(said)))


def _last_words(place: Path) -> str:
    try:
        said = (place / "supervisor.log").read_text(errors="replace").strip()
    except OSError:
        return ""
    return f": {said[-500:]}" if said else ""
